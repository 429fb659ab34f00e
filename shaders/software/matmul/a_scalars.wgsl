// A with any strides, read one element at a time. Elements past `last`, the end of k, are zero.
//
// Needs of the generator: K_TAIL, a, params.a_col
// Gives: A_STEP, a_quad, a_stride

// From a place to its neighbour along k.
fn a_stride() -> u32 {
    return params.a_col;
}

// From a place to the one four steps of k on, in strides.
const A_STEP: u32 = 4u;

fn a_element(at: u32, stride: u32, j: u32, k: u32, last: u32) -> f32 {
    if (K_TAIL == 0u) {
        return f32(a[at + j * stride]);
    }
    return select(0.0, f32(a[at + (min(k + j, last) - k) * stride]), k + j <= last);
}

// A[row, k..k + 4] at its place.
fn a_quad(at: u32, stride: u32, k: u32, last: u32) -> vec4<f32> {
    return vec4<f32>(
        a_element(at, stride, 0u, k, last),
        a_element(at, stride, 1u, k, last),
        a_element(at, stride, 2u, k, last),
        a_element(at, stride, 3u, k, last),
    );
}
