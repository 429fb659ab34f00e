// B with any strides, read one element at a time.
//
// Needs of software/matmul/b_columns or software/matmul/b_places: Place
// Needs of the generator: b, params.b_row
// Gives: b_stride, b_values

// From a place to its neighbour along k.
fn b_stride() -> u32 {
    return params.b_row;
}

fn b_values(at: Place) -> vec4<f32> {
    return vec4<f32>(f32(b[at.x]), f32(b[at.y]), f32(b[at.z]), f32(b[at.w]));
}
