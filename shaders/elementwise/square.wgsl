// square(x) = x^2
fn square_fwd(x: f32) -> f32 { return x * x; }
fn square_fwd_i32(x: i32) -> i32 { return x * x; }
fn square_fwd_u32(x: u32) -> u32 { return x * x; }
fn square_bwd(x: f32, dy: f32) -> f32 { return 2.0 * dy * x; }
