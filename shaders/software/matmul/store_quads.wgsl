// Stores four neighbouring results of one row into C, whose rows are a multiple of four long.
//
// Needs of the generator: params.m, params.n, store
// Gives: put
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let first = (matrix * params.m + row) * params.n + column;
    store(first / 4u, values);
}
