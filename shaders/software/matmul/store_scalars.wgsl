// Stores up to four neighbouring results of one row into C, element by element.
//
// Needs of the generator: params.m, params.n, store
// Gives: put
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let first = (matrix * params.m + row) * params.n + column;
    for (var j = 0u; j < min(4u, params.n - column); j++) {
        store(first + j, values[j]);
    }
}
