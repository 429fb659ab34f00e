// celu(x) = x where x > 0, else alpha (e^(x / alpha) - 1). (Barron 2017, arXiv 1704.07483)
fn celu_fwd(x: f32, alpha: f32) -> f32 {
    if x > 0.0 { return x; }
    return alpha * expm1(x / alpha);
}
fn celu_bwd(x: f32, alpha: f32, dy: f32) -> f32 {
    if x > 0.0 { return dy; }
    return dy * safe_exp(x / alpha);
}
