// logical_and(a, b) = a and b
fn logical_and_fwd(a: bool, b: bool) -> bool { return a & b; }
