// selu(x) = scale * elu(x, alpha) with the two fixed constants of Klambauer et al. 2017, arXiv 1706.02515
const SELU_SCALE: f32 = 1.0507009873554805;
const SELU_ALPHA: f32 = 1.6732632423543772;
fn selu_fwd(x: f32) -> f32 {
    if x > 0.0 { return SELU_SCALE * x; }
    return SELU_SCALE * SELU_ALPHA * expm1(x);
}
fn selu_bwd(x: f32, dy: f32) -> f32 {
    if x > 0.0 { return dy * SELU_SCALE; }
    return dy * SELU_SCALE * SELU_ALPHA * safe_exp(x);
}
