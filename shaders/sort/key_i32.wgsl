// Signed numbers in ascending order as unsigned ones.
//
// Gives: sort_key
fn sort_key(x: i32) -> u32 { return bitcast<u32>(x) ^ 0x80000000u; }
