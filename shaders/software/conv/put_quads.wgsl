// Stores one row of four columns, where the positions of an image are a multiple of four.
//
// Needs of conv/window or window/taps: volume
// Needs of software/conv/product: Columns
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size
// Needs of the generator: params.groups, params.rows, store
// Gives: put
fn put(g: u32, row: u32, columns: Columns, values: vec4<f32>) {
    if (row >= params.rows || !columns.there.x) { return; }
    let positions = volume(result_size());
    store((((columns.n.x * params.groups + g) * params.rows + row) * positions + columns.i.x) / 4u, values);
}
