// Stores one result.
//
// Needs of the generator: params.m, params.n, store_partial
// Gives: put
fn put(matrix: u32, row: u32, column: u32, value: f32) {
    store_partial((matrix * params.m + row) * params.n + column, value);
}

