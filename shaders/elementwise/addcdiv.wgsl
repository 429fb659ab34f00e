// addcdiv(x, a, b) = x + value * a / b
struct AddcdivGrad { dx: f32, da: f32, db: f32 }
fn addcdiv_fwd(x: f32, a: f32, b: f32, value: f32) -> f32 { return x + value * a / b; }
fn addcdiv_bwd(a: f32, b: f32, value: f32, dy: f32) -> AddcdivGrad {
    let da = dy * value / b;
    return AddcdivGrad(dy, da, -da * (a / b));
}
