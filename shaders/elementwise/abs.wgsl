// abs(x) = |x|; the gradient at 0 is 0.
fn abs_fwd(x: f32) -> f32 { return abs(x); }
fn abs_fwd_i32(x: i32) -> i32 { return abs(x); }
fn abs_fwd_u32(x: u32) -> u32 { return x; }
fn abs_bwd(x: f32, dy: f32) -> f32 {
    if is_nan(x) { return x; }
    return select(select(0.0, -dy, x < 0.0), dy, x > 0.0);
}
