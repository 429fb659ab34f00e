// B read four columns at a time, for B with rows that are contiguous and aligned to four elements, and for B packed into
// panels (see pack.wgsl). Places and strides count vec4s. Rows past `last`, the end of k, are zero.

// Where a lane's columns are.
alias Place = u32;

// The place of row k. Quads past the last column repeat it.
fn b_start(batch: u32, quad: u32, k: u32) -> Place {
    let inside = min(quad, (params.n - 1u) / 4u);
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2)
        + inside / LANES * params.b_panel + inside % LANES + k * params.b_step;
}

// From a place to its neighbour along k.
fn b_stride() -> u32 {
    return params.b_step;
}

// From a place to the one four steps of k on.
fn b_step() -> u32 {
    return 4u * params.b_step;
}

fn b_row(at: Place, stride: u32, i: u32, k: u32, last: u32) -> vec4<f32> {
    if (K_TAIL == 0u) {
        return quad_b(at + i * stride);
    }
    return select(vec4<f32>(), quad_b(at + (min(k + i, last) - k) * stride), k + i <= last);
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
