// B read four columns at a time, for B with rows that are contiguous and aligned to four elements, and for B packed into
// panels (see pack.wgsl). Offsets and strides count vec4s. Rows past the end of k are zero.

// Where the four columns of `quad` start. Quads past the last column repeat it; their results are dropped.
fn b_start(batch: u32, quad: u32) -> u32 {
    let inside = min(quad, (params.n - 1u) / 4u);
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2)
        + inside / LANES * params.b_panel + inside % LANES;
}

fn b_row(start: u32, k: u32) -> vec4<f32> {
    if (K_TAIL == 0u) {
        return quad_b(start + k * params.b_step);
    }
    return select(vec4<f32>(), quad_b(start + min(k, params.k - 1u) * params.b_step), k < params.k);
}

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(start: u32, quad: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(b_row(start, k), b_row(start, k + 1u), b_row(start, k + 2u), b_row(start, k + 3u));
}

