// floor_divide(a, b) = floor(a / b); an integer by 0 gives 0, an infinite a gives NaN; no gradient
fn floor_divide_fwd(a: f32, b: f32) -> f32 {
    if is_nan(a) || is_nan(b) || (is_inf(a) && b != 0.0) { return not_a_number(); }
    return floor_quotient(a, b);
}
fn floor_divide_fwd_i32(a: i32, b: i32) -> i32 {
    if b == 0 { return 0; }
    if b == -1 { return -a; }
    let q = a / b;
    return select(q, q - 1, a % b != 0 && (a < 0) != (b < 0));
}
fn floor_divide_fwd_u32(a: u32, b: u32) -> u32 {
    if b == 0u { return 0u; }
    return a / b;
}
