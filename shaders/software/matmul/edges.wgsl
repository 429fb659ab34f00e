// Rows past the last one repeat it: their factors do, so that they hold the same results, which are stored to its place. No branch guards a
// store.
//
// Needs of software/matmul/partial_quads or software/matmul/partial_scalars or software/matmul/store_quads or software/matmul/store_scalars:
//     put
// Needs of the generator: params.m
// Gives: put_inside, row_inside
fn row_inside(row: u32) -> u32 {
    return min(row, params.m - 1u);
}

fn put_inside(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    put(matrix, row_inside(row), column, values);
}
