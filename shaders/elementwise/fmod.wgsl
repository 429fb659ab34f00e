// fmod(a, b) = a - b * trunc(a / b), with the sign of a; an integer modulo 0 is 0
struct FmodGrad { da: f32, db: f32 }
// Long division: each turn takes the largest m * 2^k that fits away from r, which is exact and takes a bit off the quotient.
// Subnormal divisors count as zeros.
fn fmod_fwd(a: f32, b: f32) -> f32 {
    let m = abs(b);
    if is_nan(a) || is_nan(b) || is_inf(a) || m < 1.17549435e-38 { return not_a_number(); }
    if is_inf(b) { return a; }
    var r = abs(a);
    for (var turn = 0u; turn < 280u && r >= m; turn += 1u) {
        var part = bitcast<f32>((bitcast<u32>(m) & 0x007fffffu) | (bitcast<u32>(r) & 0x7f800000u));
        if part > r { part *= 0.5; }
        r -= part;
    }
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
