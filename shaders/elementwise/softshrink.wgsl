// softshrink(x) = x - lambda where x > lambda, x + lambda where x < -lambda, else 0; the gradient at the bounds is 0. (Donoho 1995)
fn softshrink_fwd(x: f32, lambda: f32) -> f32 {
    if is_nan(x) { return x; }
    return select(select(0.0, x + lambda, x < -lambda), x - lambda, x > lambda);
}
fn softshrink_bwd(x: f32, lambda: f32, dy: f32) -> f32 { return select(dy, 0.0, (x >= -lambda) & (x <= lambda)); }
