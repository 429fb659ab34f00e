// xlogy(a, b) = a ln b, 0 where a is 0; gradients ln b and a / b
struct XlogyGrad { da: f32, db: f32 }
fn xlogy_fwd(a: f32, b: f32) -> f32 {
    if is_nan(b) { return b; }
    if a == 0.0 { return 0.0; }
    return a * safe_log(b);
}
fn xlogy_bwd(a: f32, b: f32, dy: f32) -> XlogyGrad {
    let flat = a == 0.0 && b <= 0.0;
    return XlogyGrad(select(dy * safe_log(b), 0.0, flat), dy * a / b);
}
