// The convolution, or its gradient with respect to the input, as a matrix product whose right operand is never stored: row r of the
// left one holds the weights of an output channel, a column is a position of an image, and the sum runs over taps of the kernel and
// channels. tap_of(p, k) says which element of the source tap k of position p reads (Chellapilla, Puri & Simard 2006 made the columns in
// memory; Chetlur et al. 2014, arXiv:1410.0759, on the fly).
//
// pack.wgsl has put the weights in the order in which they are read: a vec4 a lane holds ROWS rows of STEPS = 32 / ROWS channels.
const STEPS: u32 = 32u / ROWS;

// Adds w x for STEPS channels of one tap: `own` is the lane's part of the weights, x[s] the lane's element of channel s.
fn multiply(sums: ptr<function, Sums>, own: vec4<f32>, x: vec4<f32>) {
    if (ROWS == 32u) {
        (*sums).part0 += subgroupBroadcast(own, 0u) * x.x;
        (*sums).part1 += subgroupBroadcast(own, 1u) * x.x;
        (*sums).part2 += subgroupBroadcast(own, 2u) * x.x;
        (*sums).part3 += subgroupBroadcast(own, 3u) * x.x;
        (*sums).part4 += subgroupBroadcast(own, 4u) * x.x;
        (*sums).part5 += subgroupBroadcast(own, 5u) * x.x;
        (*sums).part6 += subgroupBroadcast(own, 6u) * x.x;
        (*sums).part7 += subgroupBroadcast(own, 7u) * x.x;
    } else if (ROWS == 16u) {
        (*sums).part0 += subgroupBroadcast(own, 0u) * x.x + subgroupBroadcast(own, 4u) * x.y;
        (*sums).part1 += subgroupBroadcast(own, 1u) * x.x + subgroupBroadcast(own, 5u) * x.y;
        (*sums).part2 += subgroupBroadcast(own, 2u) * x.x + subgroupBroadcast(own, 6u) * x.y;
        (*sums).part3 += subgroupBroadcast(own, 3u) * x.x + subgroupBroadcast(own, 7u) * x.y;
    } else {
        (*sums).part0 += subgroupBroadcast(own, 0u) * x.x + subgroupBroadcast(own, 2u) * x.y
            + subgroupBroadcast(own, 4u) * x.z + subgroupBroadcast(own, 6u) * x.w;
        (*sums).part1 += subgroupBroadcast(own, 1u) * x.x + subgroupBroadcast(own, 3u) * x.y
            + subgroupBroadcast(own, 5u) * x.z + subgroupBroadcast(own, 7u) * x.w;
    }
}

// The lane's element of channel c of the source, whose channel 0 is at `start`; 0 outside the image and past the last channel.
fn element(start: u32, c: u32, inside: bool) -> f32 {
    let at = start + min(c, params.source_channels - 1u) * params.source_c;
    return select(0.0, f32(source[at]), inside && c < params.source_channels);
}

// The same for a channel that is there.
fn first_element(start: u32, c: u32, inside: bool) -> f32 {
    return select(0.0, f32(source[start + c * params.source_c]), inside);
}

// Stores four rows of one column.
fn put(first: u32, row: u32, column_inside: bool, values: vec4<f32>) {
    let positions = volume(result_size());
    for (var i = 0u; i < 4u; i++) {
        if (column_inside && row + i < params.rows) { store(first + (row + i) * positions, values[i]); }
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
    // Down the rows first, so that the tiles in flight read the same part of the source.
    let row_tile = tile % params.row_tiles;
    let g = tile / params.row_tiles % params.groups;
    let positions = volume(result_size());
    let column = tile / params.row_tiles / params.groups * LANES + lane;
    let inside = column < params.batch * positions;
    let place = min(column, params.batch * positions - 1u);
    let n = place / positions;
    let p = position(place % positions, result_size());

    let start = params.source_offset + n * params.source_n + g * params.source_channels * params.source_c;
    let step = vec3<u32>(params.source_d, params.source_h, params.source_w);
    var turn = (g * params.row_tiles + row_tile) * params.turns * 8u + lane % 8u;
    var sums = Sums();
    var k = vec3<u32>(0u);
    for (var t = 0u; t < volume(kernel_size()); t++) {
        let tap = tap_of(p, k);
        let at = start + select(0u, dot(tap.at, step), tap.inside);
        for (var c = 0u; c < params.source_channels; c += STEPS) {
            var x = vec4<f32>(first_element(at, c, tap.inside), 0.0, 0.0, 0.0);
            if (STEPS > 1u) { x.y = element(at, c + 1u, tap.inside); }
            if (STEPS > 2u) {
                x.z = element(at, c + 2u, tap.inside);
                x.w = element(at, c + 3u, tap.inside);
            }
            multiply(&sums, quad_packed(turn), x);
            turn += 8u;
        }
        k = next(k, kernel_size());
    }

    let first = (n * params.groups + g) * params.rows * positions + place % positions;
    let row = row_tile * ROWS;
    put(first, row, inside, sums.part0);
    put(first, row + 4u, inside, sums.part1);
    if (ROWS > 8u) {
        put(first, row + 8u, inside, sums.part2);
        put(first, row + 12u, inside, sums.part3);
    }
    if (ROWS > 16u) {
        put(first, row + 16u, inside, sums.part4);
        put(first, row + 20u, inside, sums.part5);
        put(first, row + 24u, inside, sums.part6);
        put(first, row + 28u, inside, sums.part7);
    }
}
