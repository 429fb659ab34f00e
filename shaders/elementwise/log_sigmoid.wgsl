// log_sigmoid(x) = -softplus(-x); derivative sigmoid(-x)
fn log_sigmoid_fwd(x: f32) -> f32 { return -softplus(-x); }
fn log_sigmoid_bwd(x: f32, dy: f32) -> f32 { return dy * sigmoid(-x); }
