// log1p(x) = ln(1 + x), accurate near 0
fn log1p_fwd(x: f32) -> f32 { return log1p(x); }
fn log1p_bwd(x: f32, dy: f32) -> f32 { return dy / (1.0 + x); }
