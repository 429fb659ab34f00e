// atanh(x) = ln((1 + x) / (1 - x)) / 2, infinite at -1 and 1, NaN beyond. derivative 1 / (1 - x^2)
fn atanh_fwd(x: f32) -> f32 {
    let a = abs(x);
    if is_nan(x) || a > 1.0 { return not_a_number(); }
    if a == 1.0 { return select(infinity(), -infinity(), x < 0.0); }
    let y = 0.5 * log1p(2.0 * a / (1.0 - a));
    return select(y, -y, x < 0.0);
}
fn atanh_bwd(x: f32, dy: f32) -> f32 { return dy / ((1.0 - x) * (1.0 + x)); }
