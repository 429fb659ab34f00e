// A read four elements along k at a time, for A with rows that are contiguous and aligned to four elements, as packed ones are.
//
// Needs of the generator: quad_a
// Gives: a_quad

// A[row, k..k + 4] at its place.
fn a_quad(at: u32, stride: u32, k: u32, last: u32) -> vec4<f32> {
    return quad_a(at);
}
