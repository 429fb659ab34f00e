// A with any strides, read one element at a time. Elements past the end of k are zero.
fn a_start(batch: u32, row: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2) + row * params.a_row;
}

fn a_element(start: u32, k: u32) -> f32 {
    if (K_TAIL == 0u) {
        return f32(a[start + k * params.a_col]);
    }
    return select(0.0, f32(a[start + min(k, params.k - 1u) * params.a_col]), k < params.k);
}

// A[row, k..k + 4].
fn a_quad(start: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a_element(start, k), a_element(start, k + 1u), a_element(start, k + 2u), a_element(start, k + 3u));
}

