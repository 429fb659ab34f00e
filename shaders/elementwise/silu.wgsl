// silu(x) = x * sigmoid(x). (Elfwing, Uchibe, Doya 2018, arXiv 1702.03118)
fn silu_fwd(x: f32) -> f32 {
    if x < -110.0 { return -0.0; }
    return x * sigmoid(x);
}
fn silu_bwd(x: f32, dy: f32) -> f32 {
    if x < -110.0 { return 0.0; }
    if x > 110.0 { return dy; }
    let s = sigmoid(x);
    return dy * s * (1.0 + x * (1.0 - s));
}
