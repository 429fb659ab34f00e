// How the tiled kernel reads two matrices of any strides: four neighbouring rows of A or columns of B at one step of k, zeros past the end
// of the sum. What lies past the last row or column is not stored, so it repeats that one.
fn a_start(batch: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2);
}

fn b_start(batch: u32) -> u32 {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
}

fn prepare(first_column: u32, local: u32) {}

fn a_quad(start: u32, row: u32, k: u32, k_end: u32) -> vec4<f32> {
    let at = start + min(k, params.k - 1u) * params.a_col
        + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u)) * params.a_row;
    let values = vec4<f32>(f32(a[at.x]), f32(a[at.y]), f32(a[at.z]), f32(a[at.w]));
    return select(vec4<f32>(), values, k < k_end);
}

fn b_quad(start: u32, first_column: u32, quad: u32, k: u32, k_end: u32) -> vec4<f32> {
    let column = first_column + quad * 4u;
    let at = start + min(k, params.k - 1u) * params.b_row
        + min(column + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u)) * params.b_col;
    let values = vec4<f32>(f32(b[at.x]), f32(b[at.y]), f32(b[at.z]), f32(b[at.w]));
    return select(vec4<f32>(), values, k < k_end);
}
