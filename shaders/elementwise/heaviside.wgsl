// heaviside(x, middle) = 0 below 0, middle at 0, 1 above, 0 for NaN; no gradient
fn heaviside_fwd(x: f32, middle: f32) -> f32 {
    if is_nan(x) { return 0.0; }
    return select(select(0.0, 1.0, x > 0.0), middle, x == 0.0);
}
fn heaviside_fwd_i32(x: i32, middle: i32) -> i32 { return select(select(0, 1, x > 0), middle, x == 0); }
fn heaviside_fwd_u32(x: u32, middle: u32) -> u32 { return select(1u, middle, x == 0u); }
