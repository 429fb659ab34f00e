// clamp_min(x) = max(x, low); NaN passes; the gradient at the bound is 0
fn clamp_min_fwd(x: f32, low: f32) -> f32 {
    if is_nan(x) { return x; }
    return max(x, low);
}
fn clamp_min_fwd_i32(x: i32, low: i32) -> i32 { return max(x, low); }
fn clamp_min_fwd_u32(x: u32, low: u32) -> u32 { return max(x, low); }
fn clamp_min_bwd(x: f32, low: f32, dy: f32) -> f32 { return select(0.0, dy, x > low); }
