// Floats in ascending order as unsigned numbers: a sign bit turned for positive numbers, all bits turned for negative ones
// (Herf 2001, "Radix Tricks"). Both zeros are equal, and every NaN is the largest key.
//
// Gives: sort_key
fn sort_key(x: f32) -> u32 {
    if (is_nan(x)) { return 0xffffffffu; }
    let bits = select(bitcast<u32>(x), 0u, x == 0.0);
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}
