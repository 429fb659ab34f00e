// Conversions: to bool by x != 0; float to integer truncates, saturates, and takes NaN to 0. Values of f16 tensors are f32 here;
// the result of every op on them is rounded by round_f16, so that to and from f16 there is nothing left to do.
fn cast_f32_f32(x: f32) -> f32 { return x; }
fn cast_bool_u32(x: bool) -> u32 { return u32(x); }
fn cast_bool_i32(x: bool) -> i32 { return i32(x); }
fn cast_bool_f32(x: bool) -> f32 { return f32(x); }
fn cast_u32_bool(x: u32) -> bool { return x != 0u; }
fn cast_u32_i32(x: u32) -> i32 { return i32(min(x, 0x7fffffffu)); }
fn cast_u32_f32(x: u32) -> f32 { return f32(x); }
fn cast_i32_bool(x: i32) -> bool { return x != 0; }
fn cast_i32_u32(x: i32) -> u32 { return u32(x); }
fn cast_i32_f32(x: i32) -> f32 { return f32(x); }
fn cast_f32_bool(x: f32) -> bool { return (x != 0.0) | is_nan(x); }
fn cast_f32_u32(x: f32) -> u32 {
    if is_nan(x) || x <= 0.0 { return 0u; }
    if x >= 4294967296.0 { return 0xffffffffu; }
    return u32(x);
}
fn cast_f32_i32(x: f32) -> i32 {
    if is_nan(x) { return 0; }
    if x >= 2147483648.0 { return 0x7fffffff; }
    if x <= -2147483648.0 { return -0x7fffffff - 1; }
    return i32(x);
}
