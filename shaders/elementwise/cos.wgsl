// cos(x); derivative -sin(x)
fn cos_fwd(x: f32) -> f32 { return sin_cos(x).y; }
fn cos_bwd(x: f32, dy: f32) -> f32 { return -dy * sin_cos(x).x; }
