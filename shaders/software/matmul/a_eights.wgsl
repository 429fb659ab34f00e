// Sixteen rows, where a load of A serves eight.
//
// Needs of software/matmul/a_by_row or software/matmul/a_step_octets or software/matmul/a_step_quads: multiply_eight
// Needs of software/matmul/lanes: Sums
// Gives: multiply_sixteen
fn multiply_sixteen(
    low: ptr<function, Sums>, high: ptr<function, Sums>, low_at: u32, high_at: u32,
    stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>,
) {
    multiply_eight(low, low_at, stride, k, last, b0, b1);
    multiply_eight(high, high_at, stride, k, last, b0, b1);
}
