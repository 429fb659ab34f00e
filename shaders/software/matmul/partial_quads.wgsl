// Stores four neighbouring partial sums of one row; the rows are a multiple of four long.
//
// Needs of the generator: params.m, params.n, store_partial
// Gives: put
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let first = (matrix * params.m + row) * params.n + column;
    store_partial(first / 4u, values);
}
