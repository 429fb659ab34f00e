// hardshrink(x) = x where |x| > lambda, else 0; the gradient at the bounds is 0. (Donoho 1995)
fn hardshrink_fwd(x: f32, lambda: f32) -> f32 { return select(x, 0.0, (x >= -lambda) & (x <= lambda)); }
fn hardshrink_bwd(x: f32, lambda: f32, dy: f32) -> f32 { return select(dy, 0.0, (x >= -lambda) & (x <= lambda)); }
