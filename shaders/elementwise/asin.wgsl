// asin(x), the angle in [-pi/2, pi/2]; derivative 1 / sqrt(1 - x^2)
fn asin_fwd(x: f32) -> f32 { return safe_asin(x); }
fn asin_bwd(x: f32, dy: f32) -> f32 { return dy / sqrt((1.0 - x) * (1.0 + x)); }
