// lt(a, b) = a < b; false where either is NaN
fn lt_fwd(a: f32, b: f32) -> bool { return !is_nan(a) & !is_nan(b) & (a < b); }
fn lt_fwd_i32(a: i32, b: i32) -> bool { return a < b; }
fn lt_fwd_u32(a: u32, b: u32) -> bool { return a < b; }
