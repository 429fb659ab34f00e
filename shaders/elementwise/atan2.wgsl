// atan2(a, b), the angle of the point (b, a) in [-pi, pi]; gradients b / (a^2 + b^2) and -a / (a^2 + b^2)
struct Atan2Grad { da: f32, db: f32 }
fn atan2_fwd(a: f32, b: f32) -> f32 {
    if is_nan(a) || is_nan(b) { return not_a_number(); }
    let below = (bitcast<u32>(a) >> 31u) == 1u;
    let left = (bitcast<u32>(b) >> 31u) == 1u;
    var angle = 0.0;
    if is_inf(a) && is_inf(b) {
        angle = QUARTER_PI;
    } else if abs(a) > abs(b) {
        angle = HALF_PI - safe_atan(abs(b) / abs(a));
    } else if a != 0.0 {
        angle = safe_atan(abs(a) / abs(b));
    }
    angle = select(angle, PI - angle, left);
    return select(angle, -angle, below);
}
fn atan2_bwd(a: f32, b: f32, dy: f32) -> Atan2Grad {
    let r = dy / (a * a + b * b);
    return Atan2Grad(r * b, -r * a);
}
