// clamp(x) = min(max(x, low), high); the gradient passes at the bounds, and NaN passes
fn clamp_fwd(x: f32, low: f32, high: f32) -> f32 {
    if is_nan(x) { return x; }
    return min(max(x, low), high);
}
fn clamp_fwd_i32(x: i32, low: i32, high: i32) -> i32 { return min(max(x, low), high); }
fn clamp_fwd_u32(x: u32, low: u32, high: u32) -> u32 { return min(max(x, low), high); }
fn clamp_bwd(x: f32, low: f32, high: f32, dy: f32) -> f32 { return select(dy, 0.0, (x < low) | (x > high)); }
