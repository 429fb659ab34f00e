// erfc(x) = 1 - erf(x), without cancellation for large x; derivative -2 / sqrt(pi) e^(-x^2)
fn erfc_fwd(x: f32) -> f32 { return erfc(x); }
fn erfc_bwd(x: f32, dy: f32) -> f32 { return -TWO_OVER_SQRT_PI * dy * safe_exp(-x * x); }
