// lerp(a, b) = a + weight * (b - a), from the nearer end, so that both ends come out exactly
struct LerpGrad { da: f32, db: f32 }
fn lerp_fwd(a: f32, b: f32, weight: f32) -> f32 {
    let way = difference(b, a);
    if abs(weight) < 0.5 { return a + weight * way; }
    return b - way * (1.0 - weight);
}
fn lerp_bwd(weight: f32, dy: f32) -> LerpGrad { return LerpGrad(dy * (1.0 - weight), dy * weight); }
