// atan(x), the angle in [-pi/2, pi/2]; derivative 1 / (1 + x^2)
fn atan_fwd(x: f32) -> f32 { return safe_atan(x); }
fn atan_bwd(x: f32, dy: f32) -> f32 { return dy / (1.0 + x * x); }
