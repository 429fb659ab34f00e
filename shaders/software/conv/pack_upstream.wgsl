// Puts the upstream gradient in the order in which weight_product.wgsl reads it: a[group][row tile][term / 4][row of the tile], a vec4 of
// four terms; a term is a position of an image. Rows and terms that are not there are 0.
//
// Needs of attention/tiles: ROWS
// Needs of software/conv/upstream_quads or software/conv/upstream_scalars: upstream
// Needs of the generator: WORKGROUP, params.items, params.row_tiles, params.rows, params.steps, params.terms, store_a
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    let tile = quotient(i / ROWS, params.steps);
    let term = (i / ROWS - tile * params.steps) * 4u;
    let g = quotient(tile, params.row_tiles);
    let row = (tile - g * params.row_tiles) * ROWS + i % ROWS;
    if (row >= params.rows || term >= params.terms) {
        store_a(i, vec4<f32>());
        return;
    }
    store_a(i, upstream(g, row, term));
}
