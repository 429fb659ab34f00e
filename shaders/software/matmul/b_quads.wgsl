// B read four elements along k at a time, for the transpose of a matrix with contiguous rows aligned to four elements.
// Places and strides count vec4s. A software adapter keeps each component of a vector in a register of its own, so that
// the transposition below is free.
//
// Needs of software/matmul/b_columns or software/matmul/b_places: Place
// Needs of the generator: quad_b
// Gives: B_STEP, b_block, b_stride

// From a place to its neighbour along k, which has the next four steps.
fn b_stride() -> u32 {
    return 1u;
}

// From a place to the one four steps of k on, in strides.
const B_STEP: u32 = 1u;

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(at: Place, stride: u32, k: u32, last: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(quad_b(at.x), quad_b(at.y), quad_b(at.z), quad_b(at.w)));
}
