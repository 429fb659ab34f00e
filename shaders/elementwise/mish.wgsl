// mish(x) = x * tanh(softplus(x)). (Misra 2019, arXiv 1908.08681)
fn mish_fwd(x: f32) -> f32 {
    if x < -110.0 { return -0.0; }
    return x * safe_tanh(softplus(x));
}
fn mish_bwd(x: f32, dy: f32) -> f32 {
    if x < -110.0 { return 0.0; }
    if x > 110.0 { return dy; }
    let t = safe_tanh(softplus(x));
    return dy * (t + x * sigmoid(x) * (1.0 - t * t));
}
