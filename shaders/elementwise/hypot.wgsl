// hypot(a, b) = sqrt(a^2 + b^2), scaled by the larger so that squares neither overflow nor vanish; infinite beside an infinity;
// gradients a / y and b / y
struct HypotGrad { da: f32, db: f32 }
fn hypot_fwd(a: f32, b: f32) -> f32 {
    if is_inf(a) || is_inf(b) { return infinity(); }
    let large = max(abs(a), abs(b));
    let small = min(abs(a), abs(b));
    if is_nan(a) || is_nan(b) { return not_a_number(); }
    if large == 0.0 { return 0.0; }
    let ratio = small / large;
    return large * sqrt(1.0 + ratio * ratio);
}
fn hypot_bwd(a: f32, b: f32, y: f32, dy: f32) -> HypotGrad { return HypotGrad(dy * (a / y), dy * (b / y)); }
