// exp2(x) = 2^x, split into a power of two and a small exponential
fn exp2_fwd(x: f32) -> f32 {
    if is_nan(x) { return x; }
    if x >= 128.0 { return infinity(); }
    if x < -150.0 { return 0.0; }
    let k = round(x);
    let half = i32(k) / 2;
    return safe_exp((x - k) * LN_2) * power_of_two(half) * power_of_two(i32(k) - half);
}
fn exp2_bwd(y: f32, dy: f32) -> f32 { return dy * y * LN_2; }
