// dy at four neighbouring positions of image n from position i on, where an image's positions lie contiguous and are a multiple of
// four; strides count elements.
fn upstream(row: u32, n: u32, i: u32, term: u32, end: u32) -> vec4<f32> {
    return quad_y((row + n * params.y_n + i) / 4u);
}
