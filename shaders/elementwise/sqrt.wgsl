// sqrt(x) = x^(1/2)
fn sqrt_fwd(x: f32) -> f32 {
    if is_nan(x) || x < 0.0 { return not_a_number(); }
    return sqrt(x);
}
fn sqrt_bwd(y: f32, dy: f32) -> f32 { return 0.5 * dy / y; }
