// sin(x); derivative cos(x)
fn sin_fwd(x: f32) -> f32 { return sin_cos(x).x; }
fn sin_bwd(x: f32, dy: f32) -> f32 { return dy * sin_cos(x).y; }
