// ln(e^a + e^b) = max(a, b) + ln(1 + e^-|a - b|), which does not overflow.
//
// Needs of scan/affine: T
// Gives: combine
fn combine(a: T, b: T, row: u32) -> T {
    if (is_nan(a)) { return a; }
    if (is_nan(b)) { return b; }
    let largest = max(a, b);
    if (is_inf(largest)) { return largest; }
    return largest + log1p(safe_exp(min(a, b) - largest));
}
