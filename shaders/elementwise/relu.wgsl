// relu(x) = max(x, 0); the gradient at 0 is 0, NaN passes. (Nair, Hinton 2010)
fn relu_fwd(x: f32) -> f32 { return select(x, 0.0, (x <= 0.0) & !is_nan(x)); }
fn relu_bwd(y: f32, dy: f32) -> f32 { return select(0.0, dy, (y > 0.0) | is_nan(y)); }
