// fmod(a, b) = a - b * trunc(a / b), with the sign of a; an integer modulo 0 is 0
struct FmodGrad { da: f32, db: f32 }
// The quotient may be off by one where a / b rounds across an integer; the remainder is put back into range.
fn fmod_fwd(a: f32, b: f32) -> f32 {
    let m = abs(b);
    if is_nan(a) || is_nan(b) || is_inf(a) || m == 0.0 { return not_a_number(); }
    if is_inf(b) { return a; }
    let n = abs(a);
    var r = fma(-trunc(n / m), m, n);
    if r < 0.0 { r += m; }
    if r >= m { r -= m; }
    return select(r, -r, a < 0.0);
}
fn fmod_fwd_i32(a: i32, b: i32) -> i32 {
    if b == 0 || b == -1 { return 0; }
    return a % b;
}
fn fmod_fwd_u32(a: u32, b: u32) -> u32 {
    if b == 0u { return 0u; }
    return a % b;
}
fn fmod_bwd(a: f32, b: f32, dy: f32) -> FmodGrad { return FmodGrad(dy, -dy * trunc(a / b)); }
