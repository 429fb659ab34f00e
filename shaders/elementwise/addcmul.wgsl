// addcmul(x, a, b) = x + value * a * b
struct AddcmulGrad { dx: f32, da: f32, db: f32 }
fn addcmul_fwd(x: f32, a: f32, b: f32, value: f32) -> f32 { return x + value * a * b; }
fn addcmul_bwd(a: f32, b: f32, value: f32, dy: f32) -> AddcmulGrad {
    return AddcmulGrad(dy, dy * value * b, dy * value * a);
}
