// logical_or(a, b) = a or b
fn logical_or_fwd(a: bool, b: bool) -> bool { return a | b; }
