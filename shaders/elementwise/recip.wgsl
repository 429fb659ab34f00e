// recip(x) = 1 / x
fn recip_fwd(x: f32) -> f32 { return 1.0 / x; }
fn recip_bwd(y: f32, dy: f32) -> f32 { return -dy * y * y; }
