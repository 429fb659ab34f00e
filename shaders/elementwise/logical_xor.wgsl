// logical_xor(a, b) = either a or b
fn logical_xor_fwd(a: bool, b: bool) -> bool { return a != b; }
