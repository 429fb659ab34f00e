// relu6(x) = min(max(x, 0), 6); the gradient at the bounds is 0. (Krizhevsky 2010)
fn relu6_fwd(x: f32) -> f32 {
    if is_nan(x) { return x; }
    return clamp(x, 0.0, 6.0);
}
fn relu6_bwd(y: f32, dy: f32) -> f32 { return select(dy, 0.0, (y <= 0.0) | (y >= 6.0)); }
