// erf(x) = 2/sqrt(pi) * integral of e^(-t^2) from 0 to x; derivative 2/sqrt(pi) * e^(-x^2)
fn erf_fwd(x: f32) -> f32 { return erf(x); }
fn erf_bwd(x: f32, dy: f32) -> f32 { return dy * TWO_OVER_SQRT_PI * safe_exp(-x * x); }
