// threshold(x) = x where x > limit, else value; the gradient at the limit is 0
fn threshold_fwd(x: f32, limit: f32, value: f32) -> f32 {
    if is_nan(x) { return x; }
    return select(value, x, x > limit);
}
fn threshold_bwd(x: f32, limit: f32, dy: f32) -> f32 { return select(dy, 0.0, x <= limit); }
