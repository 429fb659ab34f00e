// tan(x) = sin(x) / cos(x); derivative 1 + y^2
fn tan_fwd(x: f32) -> f32 {
    let sc = sin_cos(x);
    return sc.x / sc.y;
}
fn tan_bwd(y: f32, dy: f32) -> f32 { return dy * (1.0 + y * y); }
