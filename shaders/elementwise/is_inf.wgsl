// is_inf(x): whether x is an infinity of either sign, by its bits
fn is_inf_fwd(x: f32) -> bool { return is_inf(x); }
