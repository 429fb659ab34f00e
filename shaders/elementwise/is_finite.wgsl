// is_finite(x): whether x is neither infinite nor NaN, by its bits
fn is_finite_fwd(x: f32) -> bool { return is_finite(x); }
