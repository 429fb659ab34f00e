// The gradient of a convolution with respect to its weight, as a matrix product whose right operand is never stored: a row is an output
// channel, a column a weight (c, k) of its filter, and the sum runs over the positions (n, p) of the output:
//   dw[o, c, k] = sum over n, p of dy[n, o, p] x[n, c, p * stride + k * dilation - padding].
//
// For four positions at a time, lane i loads dy of rows i, i + 8, .. ROWS, and each lane its own element of x a position. The positions
// are cut into params.slots chunks, each summed by other subgroups.

// Adds dy x for one position: lane i of each operand holds row 8 j + i.
fn multiply(sums: ptr<function, Sums>, dy: vec4<f32>, x: f32) {
    (*sums).part0 += vec4<f32>(subgroupBroadcast(dy.x, 0u), subgroupBroadcast(dy.x, 1u), subgroupBroadcast(dy.x, 2u), subgroupBroadcast(dy.x, 3u)) * x;
    (*sums).part1 += vec4<f32>(subgroupBroadcast(dy.x, 4u), subgroupBroadcast(dy.x, 5u), subgroupBroadcast(dy.x, 6u), subgroupBroadcast(dy.x, 7u)) * x;
    if (ROWS > 8u) {
        (*sums).part2 += vec4<f32>(subgroupBroadcast(dy.y, 0u), subgroupBroadcast(dy.y, 1u), subgroupBroadcast(dy.y, 2u), subgroupBroadcast(dy.y, 3u)) * x;
        (*sums).part3 += vec4<f32>(subgroupBroadcast(dy.y, 4u), subgroupBroadcast(dy.y, 5u), subgroupBroadcast(dy.y, 6u), subgroupBroadcast(dy.y, 7u)) * x;
    }
    if (ROWS > 16u) {
        (*sums).part4 += vec4<f32>(subgroupBroadcast(dy.z, 0u), subgroupBroadcast(dy.z, 1u), subgroupBroadcast(dy.z, 2u), subgroupBroadcast(dy.z, 3u)) * x;
        (*sums).part5 += vec4<f32>(subgroupBroadcast(dy.z, 4u), subgroupBroadcast(dy.z, 5u), subgroupBroadcast(dy.z, 6u), subgroupBroadcast(dy.z, 7u)) * x;
        (*sums).part6 += vec4<f32>(subgroupBroadcast(dy.w, 0u), subgroupBroadcast(dy.w, 1u), subgroupBroadcast(dy.w, 2u), subgroupBroadcast(dy.w, 3u)) * x;
        (*sums).part7 += vec4<f32>(subgroupBroadcast(dy.w, 4u), subgroupBroadcast(dy.w, 5u), subgroupBroadcast(dy.w, 6u), subgroupBroadcast(dy.w, 7u)) * x;
    }
}

// Stores four rows of one column.
fn put(first: u32, row: u32, column: u32, filter_size: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if (column < filter_size && row + i < params.output_channels) { finish(first + (row + i) * filter_size, values[i]); }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
    if (tile >= params.tiles) { return; }
    let taps = volume(kernel_size());
    let filter_size = params.input_channels * taps;
    let column_tiles = (filter_size + LANES - 1u) / LANES;
    // Along the columns first: neighbours read the same rows of dy.
    let column = tile % column_tiles * LANES + lane;
    let row_tile = tile / column_tiles % params.row_tiles;
    let g = tile / column_tiles / params.row_tiles % params.groups;
    let slot = tile / column_tiles / params.row_tiles / params.groups;
    let own = min(column, filter_size - 1u);
    let row = row_tile * ROWS;

    let x_at = params.x_offset + (g * params.input_channels + own / taps) * params.x_c;
    let x_step = vec3<u32>(params.x_d, params.x_h, params.x_w);
    // Positions before the first element wrap to huge ones, which are outside as well.
    let corner = position(own % taps, kernel_size()) * dilation() - padding();
    let last = params.output_channels - 1u;
    let rows = vec4<u32>(
        min(row + lane % 8u, last),
        min(row + lane % 8u + 8u, last),
        min(row + lane % 8u + 16u, last),
        min(row + lane % 8u + 24u, last),
    );
    let y_rows = params.y_offset + (rows + g * params.output_channels) * params.y_c;

    let start = slot * params.chunk;
    let end = min(start + params.chunk, params.terms);
    var n = start / volume(output_size());
    var i = start % volume(output_size());
    var p = position(i, output_size());
    var sums = Sums();
    for (var term = start; term < end; term += 4u) {
        // Element [j][s] is dy of row 8 j + lane at the position s from here.
        let row0 = upstream(y_rows.x, n, i, term, end);
        var row1 = vec4<f32>();
        var row2 = vec4<f32>();
        var row3 = vec4<f32>();
        if (ROWS > 8u) { row1 = upstream(y_rows.y, n, i, term, end); }
        if (ROWS > 16u) {
            row2 = upstream(y_rows.z, n, i, term, end);
            row3 = upstream(y_rows.w, n, i, term, end);
        }
        for (var s = 0u; s < 4u; s++) {
            let q = p * STRIDE + corner;
            let inside = all(q < input_size()) && term + s < end;
            let at = x_at + select(0u, n * params.x_n + dot(q, x_step), inside);
            let value = select(0.0, f32(x[at]), inside);
            multiply(&sums, vec4<f32>(row0[s], row1[s], row2[s], row3[s]), value);
            i++;
            p = next(p, output_size());
            if (i == volume(output_size())) {
                i = 0u;
                n++;
            }
        }
    }

    let first = slot * params.total + g * params.output_channels * filter_size + column;
    put(first, row, column, filter_size, sums.part0);
    put(first, row + 4u, column, filter_size, sums.part1);
    if (ROWS > 8u) {
        put(first, row + 8u, column, filter_size, sums.part2);
        put(first, row + 12u, column, filter_size, sums.part3);
    }
    if (ROWS > 16u) {
        put(first, row + 16u, column, filter_size, sums.part4);
        put(first, row + 20u, column, filter_size, sums.part5);
        put(first, row + 24u, column, filter_size, sums.part6);
        put(first, row + 28u, column, filter_size, sums.part7);
    }
}
