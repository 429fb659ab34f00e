// asinh(x) = ln(x + sqrt(x^2 + 1)), odd; near 0 through log1p, far out as ln 2x. derivative 1 / sqrt(x^2 + 1)
fn asinh_fwd(x: f32) -> f32 {
    let a = abs(x);
    var y = safe_log(a) + LN_2;
    if a < 1.0e4 {
        y = log1p(a + a * a / (1.0 + sqrt(a * a + 1.0)));
    }
    if is_nan(x) || x == 0.0 { return x; }
    return select(y, -y, x < 0.0);
}
fn asinh_bwd(x: f32, dy: f32) -> f32 {
    let a = abs(x);
    if a > 1.0e10 { return dy / a; }
    return dy / sqrt(a * a + 1.0);
}
