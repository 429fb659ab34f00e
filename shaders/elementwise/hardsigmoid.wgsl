// hardsigmoid(x) = (x + 3) / 6 clamped to [0, 1]; the gradient at the bounds is 0. (Courbariaux et al. 2015)
fn hardsigmoid_fwd(x: f32) -> f32 { return select(select(x / 6.0 + 0.5, 0.0, x < -3.0), 1.0, x > 3.0); }
fn hardsigmoid_bwd(x: f32, dy: f32) -> f32 { return select(dy / 6.0, 0.0, (x <= -3.0) | (x >= 3.0)); }
