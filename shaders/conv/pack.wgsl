// Puts the weights in the order in which rows.wgsl reads them: packed[group][row tile][tap][channels / STEPS][lane] is a vec4, and
// element e = 4 lane + j of the 32 of a turn is row e % ROWS of channel e / ROWS. Rows and channels that are not there are 0.
const STEPS: u32 = 32u / ROWS;

fn weight(g: u32, row: u32, c: u32, tap: u32) -> f32 {
    let k = position(tap, kernel_size());
    let inside = row < params.rows && c < params.source_channels;
    let at = params.w_offset + g * params.group_step
        + min(row, params.rows - 1u) * params.row_step
        + min(c, params.source_channels - 1u) * params.channel_step
        + dot(k, vec3<u32>(params.w_d, params.w_h, params.w_w));
    return select(0.0, f32(w[at]), inside);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.quads) { return; }
    let lane = i % 8u;
    let turn = i / 8u % params.turns;
    let row_tile = i / 8u / params.turns % params.row_tiles;
    let g = i / 8u / params.turns / params.row_tiles;
    let blocks = (params.source_channels + STEPS - 1u) / STEPS;
    let tap = turn / blocks;
    // Four neighbours of the 32 have the same channel, since ROWS is a multiple of four.
    let c = turn % blocks * STEPS + lane * 4u / ROWS;
    let row = row_tile * ROWS + lane * 4u % ROWS;
    store_packed(i, vec4<f32>(
        weight(g, row, c, tap),
        weight(g, row + 1u, c, tap),
        weight(g, row + 2u, c, tap),
        weight(g, row + 3u, c, tap),
    ));
}
