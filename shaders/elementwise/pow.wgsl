// pow(a, b) = a^b; gradients b * a^(b - 1), which is 0 for b = 0, and y * ln a, which is 0 for a = 0 and b >= 0
struct PowGrad { da: f32, db: f32 }
fn pow_fwd(a: f32, b: f32) -> f32 { return safe_pow(a, b); }
fn pow_bwd(a: f32, b: f32, y: f32, dy: f32) -> PowGrad {
    var da = 0.0;
    if b != 0.0 { da = dy * b * safe_pow(a, b - 1.0); }
    var db = 0.0;
    if !(a == 0.0 && b >= 0.0) { db = dy * y * safe_log(a); }
    return PowGrad(da, db);
}
