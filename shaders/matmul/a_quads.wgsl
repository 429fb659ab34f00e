// A read four elements along k at a time, for A with rows that are contiguous and aligned to four elements, as packed ones are. Places and
// strides count vec4s.

// The place of a row's first element.
fn a_start(batch: u32, row: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2) + row * params.a_row;
}

// From a place to its neighbour along k, which has the next four steps.
fn a_stride() -> u32 {
    return 1u;
}

// From a place to the one four steps of k on, in strides.
const A_STEP: u32 = 1u;

// A[row, k..k + 4] at its place.
fn a_quad(at: u32, stride: u32, k: u32, last: u32) -> vec4<f32> {
    return quad_a(at);
}
