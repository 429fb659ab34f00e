// round(x), the nearest integer, ties to even; the gradient is 0
fn round_fwd(x: f32) -> f32 { return round(x); }
fn round_bwd(dy: f32) -> f32 { return 0.0; }
