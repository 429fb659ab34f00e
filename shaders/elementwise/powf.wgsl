// powf(x) = x^exponent; derivative exponent * x^(exponent - 1), which is 0 for exponent = 0
fn powf_fwd(x: f32, exponent: f32) -> f32 { return safe_pow(x, exponent); }
fn powf_bwd(x: f32, exponent: f32, dy: f32) -> f32 {
    if exponent == 0.0 { return 0.0; }
    return dy * exponent * safe_pow(x, exponent - 1.0);
}
