// Eight rows of a tile for a subgroup of at least eight lanes: lane i loads row i of A, and the elements go round by broadcast. On adapters
// that run shaders on CPU cores each lane's load is a step of its own and costs most, and a broadcast costs almost nothing.
//
// Needs of software/conv/tiles_plain: Sums
// Needs of software/matmul/lanes: multiply4
// Needs of the generator: quad_a
// Gives: add8
fn add8(sums: ptr<function, Sums>, at: u32, lane: u32, b: mat4x4<f32>) {
    multiply4(sums, quad_a(at + lane % 8u), b);
}
