// cosh(x) = (e^x + e^-x) / 2
fn cosh_fwd(x: f32) -> f32 {
    let h = safe_exp(0.5 * abs(x));
    return 0.5 * h * h + 0.5 * safe_exp(-abs(x));
}
fn cosh_bwd(x: f32, dy: f32) -> f32 {
    let a = abs(x);
    let h = safe_exp(0.5 * a);
    let y = select(0.5 * h * h - 0.5 * safe_exp(-a), 0.5 * (expm1(a) - expm1(-a)), a < 1.0);
    return select(dy * y, -dy * y, x < 0.0);
}
