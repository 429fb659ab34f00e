// The upstream gradient, a row of v_size elements per query.
fn dy_element(row: u32, d: u32) -> f32 {
    return select(0.0, load_dy(row * params.v_size + min(d, params.v_size - 1u)), d < params.v_size);
}
fn dy_quad(row: u32, c: u32) -> vec4<f32> {
    let d = c * 4u;
    return vec4<f32>(dy_element(row, d), dy_element(row, d + 1u), dy_element(row, d + 2u), dy_element(row, d + 3u));
}
