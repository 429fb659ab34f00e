// hardswish(x) = x * hardsigmoid(x). (Howard et al. 2019, arXiv 1905.02244) At x = -3 the gradient is 0, at x = 3 it is 1.
fn hardswish_fwd(x: f32) -> f32 {
    if x <= -3.0 { return 0.0; }
    if x >= 3.0 { return x; }
    return x * (x / 6.0 + 0.5);
}
fn hardswish_bwd(x: f32, dy: f32) -> f32 {
    if x <= -3.0 { return 0.0; }
    if x >= 3.0 { return dy; }
    return dy * (x / 3.0 + 0.5);
}
