// Partial sums, four neighbours at a time.
//
// Needs of the generator: quad_partial
// Gives: partial_at
fn partial_at(i: u32) -> vec4<f32> { return quad_partial(i); }

