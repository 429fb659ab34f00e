// B read four columns at a time, for B with rows that are contiguous and aligned to four elements, and for B packed into
// panels (see pack.wgsl). Places and strides count vec4s.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: LANES, params.b_batch0, params.b_batch1, params.b_batch2, params.b_offset, params.b_panel, params.b_step,
//     quad_b
// Gives: Place, b_start, b_stride, b_values

// Where a lane's columns are.
alias Place = u32;

// The place of the first row.
fn b_start(batch: u32, quad: u32) -> Place {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2)
        + quad / LANES * params.b_panel + quad % LANES;
}

// From a place to its neighbour along k.
fn b_stride() -> u32 {
    return params.b_step;
}

fn b_values(at: Place) -> vec4<f32> {
    return quad_b(at);
}
