// leaky_relu(x) = x where x > 0, else slope * x. (Maas, Hannun, Ng 2013)
fn leaky_relu_fwd(x: f32, slope: f32) -> f32 { return select(slope * x, x, x > 0.0); }
fn leaky_relu_bwd(x: f32, slope: f32, dy: f32) -> f32 { return select(slope * dy, dy, x > 0.0); }
