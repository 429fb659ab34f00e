// elu(x) = x where x > 0, else alpha * (e^x - 1). (Clevert, Unterthiner, Hochreiter 2016, arXiv 1511.07289)
fn elu_fwd(x: f32, alpha: f32) -> f32 {
    if x > 0.0 { return x; }
    return alpha * expm1(x);
}
fn elu_bwd(x: f32, alpha: f32, dy: f32) -> f32 {
    if x > 0.0 { return dy; }
    return dy * alpha * safe_exp(x);
}
