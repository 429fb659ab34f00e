// is_nan(x): whether x is not a number, by its bits
fn is_nan_fwd(x: f32) -> bool { return is_nan(x); }
