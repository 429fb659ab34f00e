// B with any strides, read one element at a time. Rows past `last`, the end of k, are zero.

// Where a lane's columns are.
alias Place = vec4<u32>;

// The places of B[k, 4 quad..]. Quads past the last one repeat it, columns past the last one too.
fn b_start(batch: u32, quad: u32, k: u32) -> Place {
    let inside = min(quad, (params.n - 1u) / 4u);
    let columns = min(inside * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u));
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2) + columns * params.b_col
        + k * params.b_row;
}

// From a place to its neighbour along k.
fn b_stride() -> u32 {
    return params.b_row;
}

// From a place to the one four steps of k on.
fn b_step() -> u32 {
    return 4u * params.b_row;
}

fn b_row(at: Place, stride: u32, i: u32, k: u32, last: u32) -> vec4<f32> {
    if (K_TAIL == 0u) {
        let row = at + i * stride;
        return vec4<f32>(f32(b[row.x]), f32(b[row.y]), f32(b[row.z]), f32(b[row.w]));
    }
    let row = at + (min(k + i, last) - k) * stride;
    return select(vec4<f32>(), vec4<f32>(f32(b[row.x]), f32(b[row.y]), f32(b[row.z]), f32(b[row.w])), k + i <= last);
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
