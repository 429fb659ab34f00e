// logaddexp(a, b) = ln(e^a + e^b) = max(a, b) + ln(1 + e^-|a - b|); gradients e^(a - y) and e^(b - y), sigmoids of the difference
struct LogaddexpGrad { da: f32, db: f32 }
fn logaddexp_fwd(a: f32, b: f32) -> f32 {
    if is_nan(a) || is_nan(b) { return not_a_number(); }
    if a == b { return a + LN_2; }
    return max(a, b) + log1p(safe_exp(-abs(a - b)));
}
fn logaddexp_bwd(a: f32, b: f32, dy: f32) -> LogaddexpGrad {
    return LogaddexpGrad(dy * sigmoid(difference(a, b)), dy * sigmoid(difference(b, a)));
}
