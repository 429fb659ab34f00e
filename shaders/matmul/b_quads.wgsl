// B read four elements along k at a time, for the transpose of a matrix with contiguous rows aligned to four elements.
// Offsets and strides count vec4s. A software adapter keeps each component of a vector in a register of its own, so that
// the transposition below is free.
fn b_start(batch: u32, quad: u32) -> u32 {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
}

// Columns past the last one repeat it; their results are dropped.
fn b_column(start: u32, column: u32, k: u32) -> vec4<f32> {
    return quad_b(start + min(column, params.n - 1u) * params.b_col + k / 4u);
}

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(start: u32, quad: u32, k: u32) -> mat4x4<f32> {
    let column = quad * 4u;
    return transpose(mat4x4<f32>(
        b_column(start, column, k),
        b_column(start, column + 1u, k),
        b_column(start, column + 2u, k),
        b_column(start, column + 3u, k),
    ));
}

