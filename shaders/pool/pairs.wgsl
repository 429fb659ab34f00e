// Windows of two neighbours along the width, two apart, in rows of a multiple of four elements: an invocation has the two windows of four
// neighbours, which are one load a row of the windows.
struct Pair {
    first: Found,
    second: Found,
}

// The cell (depth, height, four columns) of invocation i among cells() of each plane.
fn cells() -> vec3<u32> { return vec3<u32>(params.cells_d, params.cells_h, params.cells_w); }

// The first quad of row k of a cell's windows.
fn quad_at(n: u32, cell: vec3<u32>, k: vec2<u32>) -> u32 {
    let row = cell.xy * vec2<u32>(STRIDE_D, STRIDE_H) + k;
    return ((n * params.in_d + row.x) * params.in_h + row.y) * (params.in_w / 4u) + cell.z;
}

fn search_pair(n: u32, cell: vec3<u32>) -> Pair {
    var pair = Pair(Found(NOWHERE, 0.0), Found(NOWHERE, 0.0));
    for (var d = 0u; d < KERNEL_D; d += 1u) {
        for (var h = 0u; h < KERNEL_H; h += 1u) {
            let i = quad_at(n, cell, vec2<u32>(d * DILATION_D, h * DILATION_H));
            let x = load_x(i);
            pair.first = larger_of(larger_of(pair.first, i * 4u, x.x), i * 4u + 1u, x.y);
            pair.second = larger_of(larger_of(pair.second, i * 4u + 2u, x.z), i * 4u + 3u, x.w);
        }
    }
    return pair;
}

// The place of the first of the two windows in the output.
fn output_at(n: u32, cell: vec3<u32>) -> u32 {
    return ((n * params.out_d + cell.x) * params.out_h + cell.y) * params.out_w + cell.z * 2u;
}
