// Partial sums, four neighbours at a time.
fn partial_at(i: u32) -> vec4<f32> { return quad_partial(i); }

