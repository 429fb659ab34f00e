// acosh(x) = ln(x + sqrt(x^2 - 1)) for x >= 1, NaN below; near 1 through log1p, far out as ln 2x. derivative 1 / sqrt(x^2 - 1)
fn acosh_fwd(x: f32) -> f32 {
    if is_nan(x) || x < 1.0 { return not_a_number(); }
    if x > 1.0e4 { return safe_log(x) + LN_2; }
    let t = x - 1.0;
    return log1p(t + sqrt(2.0 * t + t * t));
}
fn acosh_bwd(x: f32, dy: f32) -> f32 {
    if x > 1.0e10 { return dy / x; }
    let t = x - 1.0;
    return dy / sqrt(2.0 * t + t * t);
}
