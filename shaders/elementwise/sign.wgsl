// sign(x) = 1, 0 or -1; 0 for NaN. The gradient is 0.
fn sign_fwd(x: f32) -> f32 {
    if is_nan(x) { return 0.0; }
    return select(select(0.0, -1.0, x < 0.0), 1.0, x > 0.0);
}
fn sign_fwd_i32(x: i32) -> i32 { return sign(x); }
fn sign_fwd_u32(x: u32) -> u32 { return min(x, 1u); }
fn sign_bwd(dy: f32) -> f32 { return 0.0; }
