// remainder(a, b) = a - b floor(a / b), with the sign of b; an integer modulo 0 is 0; gradients 1 and -floor(a / b)
struct RemainderGrad { da: f32, db: f32 }
// Long division as in fmod, then one b more where the signs differ.
fn remainder_fwd(a: f32, b: f32) -> f32 {
    let m = abs(b);
    if is_nan(a) || is_nan(b) || is_inf(a) || m < 1.17549435e-38 { return not_a_number(); }
    if is_inf(b) { return select(b, a, a == 0.0 || (a < 0.0) == (b < 0.0)); }
    var r = abs(a);
    for (var turn = 0u; turn < 280u && r >= m; turn += 1u) {
        var part = bitcast<f32>((bitcast<u32>(m) & 0x007fffffu) | (bitcast<u32>(r) & 0x7f800000u));
        if part > r { part *= 0.5; }
        r -= part;
    }
    r = select(r, -r, a < 0.0);
    return select(r, r + b, r != 0.0 && (r < 0.0) != (b < 0.0));
}
fn remainder_fwd_i32(a: i32, b: i32) -> i32 {
    if b == 0 || b == -1 { return 0; }
    let r = a % b;
    return select(r, r + b, r != 0 && (r < 0) != (b < 0));
}
fn remainder_fwd_u32(a: u32, b: u32) -> u32 {
    if b == 0u { return 0u; }
    return a % b;
}
fn remainder_bwd(a: f32, b: f32, dy: f32) -> RemainderGrad { return RemainderGrad(dy, -dy * floor_quotient(a, b)); }
