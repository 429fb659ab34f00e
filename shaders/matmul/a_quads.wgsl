// A read four elements along k at a time, for A with rows that are contiguous and aligned to four elements, and for A
// packed into panels (see pack.wgsl). Offsets and strides count vec4s.
fn a_start(batch: u32, row: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2)
        + row / ROWS * params.a_panel + row % ROWS * params.a_row;
}

// A[row, k..k + 4], for k a multiple of four.
fn a_quad(start: u32, k: u32) -> vec4<f32> {
    return quad_a(start + k / 4u * params.a_step);
}

