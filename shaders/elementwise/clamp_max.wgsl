// clamp_max(x) = min(x, high); NaN passes; the gradient at the bound is 0
fn clamp_max_fwd(x: f32, high: f32) -> f32 {
    if is_nan(x) { return x; }
    return min(x, high);
}
fn clamp_max_fwd_i32(x: i32, high: i32) -> i32 { return min(x, high); }
fn clamp_max_fwd_u32(x: u32, high: u32) -> u32 { return min(x, high); }
fn clamp_max_bwd(x: f32, high: f32, dy: f32) -> f32 { return select(0.0, dy, x < high); }
