// div(a, b) = a / b
struct DivGrad { da: f32, db: f32 }
fn div_fwd(a: f32, b: f32) -> f32 { return a / b; }
fn div_bwd(a: f32, b: f32, dy: f32) -> DivGrad {
    let da = dy / b;
    return DivGrad(da, -da * (a / b));
}
