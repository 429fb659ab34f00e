// hardtanh(x) = x clamped to [-1, 1]; the gradient at the bounds is 0, as in PyTorch. (Collobert 2004)
fn hardtanh_fwd(x: f32) -> f32 { return select(select(x, -1.0, x < -1.0), 1.0, x > 1.0); }
fn hardtanh_bwd(x: f32, dy: f32) -> f32 { return select(dy, 0.0, (x <= -1.0) | (x >= 1.0)); }
