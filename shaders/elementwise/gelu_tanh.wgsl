// gelu_tanh(x) = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))). (Hendrycks, Gimpel 2016, arXiv 1606.08415)
fn gelu_tanh_fwd(x: f32) -> f32 {
    if x < -13.0 { return -0.0; }
    return 0.5 * x * (1.0 + safe_tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x)));
}
fn gelu_tanh_bwd(x: f32, dy: f32) -> f32 {
    if x < -13.0 { return 0.0; }
    if x > 13.0 { return dy; }
    let t = safe_tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x));
    let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * x * x);
    return dy * 0.5 * (1.0 + t + x * (1.0 - t * t) * inner);
}
