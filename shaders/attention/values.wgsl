fn v_element(row: u32, d: u32) -> f32 {
    return select(0.0, load_v(row * params.v_size + min(d, params.v_size - 1u)), d < params.v_size);
}
fn v_quad(row: u32, c: u32) -> vec4<f32> {
    let d = c * 4u;
    return vec4<f32>(v_element(row, d), v_element(row, d + 1u), v_element(row, d + 2u), v_element(row, d + 3u));
}
