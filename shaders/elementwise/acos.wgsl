// acos(x), the angle in [0, pi]; derivative -1 / sqrt(1 - x^2)
fn acos_fwd(x: f32) -> f32 {
    if x > 0.5 { return 2.0 * safe_asin(sqrt(0.5 * (1.0 - x))); }
    return HALF_PI - safe_asin(x);
}
fn acos_bwd(x: f32, dy: f32) -> f32 { return -dy / sqrt((1.0 - x) * (1.0 + x)); }
