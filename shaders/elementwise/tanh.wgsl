// tanh(x) = (e^x - e^-x) / (e^x + e^-x); derivative 1 - y^2
fn tanh_fwd(x: f32) -> f32 { return safe_tanh(x); }
fn tanh_bwd(y: f32, dy: f32) -> f32 { return dy * (1.0 - y * y); }
