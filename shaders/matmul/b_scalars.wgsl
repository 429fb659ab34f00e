// B with any strides, read one element at a time. Rows past the end of k are zero.
fn b_start(batch: u32, quad: u32) -> u32 {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
}

// Columns past the last one repeat it; their results are dropped.
fn b_element(start: u32, k: u32, column: u32) -> f32 {
    let inside = start + min(column, params.n - 1u) * params.b_col;
    if (K_TAIL == 0u) {
        return f32(b[inside + k * params.b_row]);
    }
    return select(0.0, f32(b[inside + min(k, params.k - 1u) * params.b_row]), k < params.k);
}

fn b_line(start: u32, k: u32, column: u32) -> vec4<f32> {
    return vec4<f32>(
        b_element(start, k, column),
        b_element(start, k, column + 1u),
        b_element(start, k, column + 2u),
        b_element(start, k, column + 3u),
    );
}

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(start: u32, quad: u32, k: u32) -> mat4x4<f32> {
    let column = quad * 4u;
    return mat4x4<f32>(
        b_line(start, k, column),
        b_line(start, k + 1u, column),
        b_line(start, k + 2u, column),
        b_line(start, k + 3u, column),
    );
}

