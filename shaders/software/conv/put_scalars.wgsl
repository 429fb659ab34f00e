// Stores one row of four columns, element by element.
//
// Needs of conv/window or window/taps: volume
// Needs of software/conv/product: Columns
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size
// Needs of the generator: params.groups, params.rows, store
// Gives: put
fn put(g: u32, row: u32, columns: Columns, values: vec4<f32>) {
    if (row >= params.rows) { return; }
    let first = (columns.n * params.groups + g) * params.rows + row;
    let at = first * volume(result_size()) + columns.i;
    for (var j = 0u; j < 4u; j++) {
        if (columns.there[j]) { store(at[j], values[j]); }
    }
}
