// Four steps of k for one row: a has its elements of A, b the lane's own four columns.
//
// Gives: multiply
fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}
