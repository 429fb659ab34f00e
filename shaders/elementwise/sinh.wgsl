// sinh(x) = (e^x - e^-x) / 2; e^|x| is squared from its root, so that it overflows only where the result does
fn sinh_fwd(x: f32) -> f32 {
    let a = abs(x);
    if a < 1.0 {
        let z = x * x;
        return ((2.03721912945e-4 * z + 8.33028376239e-3) * z + 1.66667160211e-1) * z * x + x;
    }
    let h = safe_exp(0.5 * a);
    let y = 0.5 * h * h - 0.5 * safe_exp(-a);
    return select(y, -y, x < 0.0);
}
fn sinh_bwd(x: f32, dy: f32) -> f32 {
    let h = safe_exp(0.5 * abs(x));
    return dy * (0.5 * h * h + 0.5 * safe_exp(-abs(x)));
}
