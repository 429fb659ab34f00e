// gelu(x) = x/2 * (1 + erf(x / sqrt 2)) = x/2 * erfc(-x / sqrt 2), the second without cancellation. (Hendrycks, Gimpel 2016, arXiv 1606.08415)
// The derivative is Phi(x) + x * phi(x), with the distribution and density of the standard normal.
fn gelu_fwd(x: f32) -> f32 {
    if x < -13.0 { return -0.0; }
    return 0.5 * x * erfc(-x * SQRT_HALF);
}
fn gelu_bwd(x: f32, dy: f32) -> f32 {
    // Far out the derivative is 0 or 1; infinity * 0 must not make a NaN there.
    if x < -13.0 { return 0.0; }
    if x > 13.0 { return dy; }
    let density = 0.5 * SQRT_HALF * TWO_OVER_SQRT_PI * safe_exp(-0.5 * x * x);
    return dy * (0.5 * erfc(-x * SQRT_HALF) + x * density);
}
