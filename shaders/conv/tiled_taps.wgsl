// An element of x: positions before the first one wrap to huge ones, which are outside as well.
fn b_element(start: u32, column: Column, shift: vec3<u32>) -> f32 {
    let q = column.corner + shift;
    if (any(q >= input_size())) { return 0.0; }
    return f32(x[start + column.start + dot(q, vec3<u32>(params.x_d, params.x_h, params.x_w))]);
}
