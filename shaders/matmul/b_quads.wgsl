// B read four elements along k at a time, for the transpose of a matrix with contiguous rows aligned to four elements.
// Places and strides count vec4s. A software adapter keeps each component of a vector in a register of its own, so that
// the transposition below is free.

// Where a lane's columns are.
alias Place = vec4<u32>;

// The places of B[k, 4 quad..], for k a multiple of four. Quads past the last one repeat it, columns past the last one too.
fn b_start(batch: u32, quad: u32, k: u32) -> Place {
    let inside = min(quad, (params.n - 1u) / 4u);
    let columns = min(inside * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u));
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2) + columns * params.b_col
        + k / 4u;
}

// From a place to its neighbour along k.
fn b_stride() -> u32 {
    return 1u;
}

// From a place to the one four steps of k on.
fn b_step() -> u32 {
    return 1u;
}

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(at: Place, stride: u32, k: u32, last: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(quad_b(at.x), quad_b(at.y), quad_b(at.z), quad_b(at.w)));
}
