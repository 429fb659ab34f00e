// Puts the weights in the order in which product.wgsl reads them: a[group][row tile][tap][quad of the line][row of the tile], a vec4 along
// the line. Rows and elements that are not there are 0.
//
// Needs of attention/tiles: ROWS
// Needs of conv/window or window/taps: volume
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of software/conv/lines: element_of, taps_size
// Needs of the generator: LINES, WORKGROUP, params.channel_step, params.group_step, params.items, params.quads, params.row_step,
//     params.row_tiles, params.rows, params.source_channels, params.w_d, params.w_h, params.w_offset, params.w_w, store_a, w
// Gives: weight
fn weight(g: u32, row: u32, tap: vec3<u32>, e: u32) -> f32 {
    let element = element_of(e);
    var k = tap;
    if (LINES == 1u) { k.z = element.k; }
    if (row >= params.rows || element.c >= params.source_channels) { return 0.0; }
    return f32(w[params.w_offset + g * params.group_step + row * params.row_step + element.c * params.channel_step
        + dot(k, vec3<u32>(params.w_d, params.w_h, params.w_w))]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    let step = quotient(i / ROWS, params.quads);
    let e = (i / ROWS - step * params.quads) * 4u;
    let tile = quotient(step, volume(taps_size()));
    let tap = position(step - tile * volume(taps_size()), taps_size());
    let g = quotient(tile, params.row_tiles);
    let row = (tile - g * params.row_tiles) * ROWS + i % ROWS;
    store_a(i, vec4<f32>(
        weight(g, row, tap, e),
        weight(g, row, tap, e + 1u),
        weight(g, row, tap, e + 2u),
        weight(g, row, tap, e + 3u),
    ));
}
