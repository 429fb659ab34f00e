// sigmoid(x) = 1 / (1 + e^-x); derivative y * (1 - y)
fn sigmoid_fwd(x: f32) -> f32 { return sigmoid(x); }
fn sigmoid_bwd(y: f32, dy: f32) -> f32 { return dy * y * (1.0 - y); }
