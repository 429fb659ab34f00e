// B read row by row. Rows past `last`, the end of k, are zero.
//
// Needs of software/matmul/b_columns or software/matmul/b_places: Place
// Needs of software/matmul/b_columns or software/matmul/b_scalars: b_values
// Needs of the generator: K_TAIL
// Gives: B_STEP, b_block

// From a place to the one four steps of k on, in strides.
const B_STEP: u32 = 4u;

fn b_row(at: Place, stride: u32, i: u32, k: u32, last: u32) -> vec4<f32> {
    if (K_TAIL == 0u) {
        return b_values(at + i * stride);
    }
    return select(vec4<f32>(), b_values(at + (min(k + i, last) - k) * stride), k + i <= last);
}

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(at: Place, stride: u32, k: u32, last: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        b_row(at, stride, 0u, k, last),
        b_row(at, stride, 1u, k, last),
        b_row(at, stride, 2u, k, last),
        b_row(at, stride, 3u, k, last),
    );
}
