// expm1(x) = e^x - 1, accurate near 0
fn expm1_fwd(x: f32) -> f32 { return expm1(x); }
fn expm1_bwd(y: f32, dy: f32) -> f32 { return dy * (y + 1.0); }
