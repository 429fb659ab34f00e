// gelu_tanh(x) = x/2 * (1 + tanh u) with u = sqrt(2/pi) * (x + 0.044715 x^3). (Hendrycks, Gimpel 2016, arXiv 1606.08415)
// As 1 + tanh u = 2 sigmoid(2u), it is x * sigmoid(2u), without cancellation for negative x.
fn gelu_tanh_fwd(x: f32) -> f32 {
    if x < -13.0 { return -0.0; }
    return x * sigmoid(2.0 * SQRT_2_OVER_PI * (x + 0.044715 * x * x * x));
}
fn gelu_tanh_bwd(x: f32, dy: f32) -> f32 {
    if x < -13.0 { return 0.0; }
    if x > 13.0 { return dy; }
    let s = sigmoid(2.0 * SQRT_2_OVER_PI * (x + 0.044715 * x * x * x));
    let slope = 2.0 * SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * x * x);
    return dy * s * (1.0 + x * (1.0 - s) * slope);
}
