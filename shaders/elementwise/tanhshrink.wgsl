// tanhshrink(x) = x - tanh(x); derivative tanh(x)^2. Near 0 by the series x^3 (1/3 - 2/15 x^2 + ..), where the difference cancels
fn tanhshrink_fwd(x: f32) -> f32 {
    if abs(x) < 0.3 {
        let z = x * x;
        return x * z * (0.3333333333 - z * (0.1333333333 - z * (0.0539682540 - z * (0.0218694885 - z * 0.0088632355))));
    }
    return x - safe_tanh(x);
}
fn tanhshrink_bwd(x: f32, dy: f32) -> f32 {
    let t = safe_tanh(x);
    return dy * t * t;
}
