// rsqrt(x) = x^(-1/2)
fn rsqrt_fwd(x: f32) -> f32 {
    if is_nan(x) || x < 0.0 { return not_a_number(); }
    return 1.0 / sqrt(x);
}
fn rsqrt_bwd(y: f32, dy: f32) -> f32 { return -0.5 * dy * y * y * y; }
