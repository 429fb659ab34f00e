// logical_not(x) = not x
fn logical_not_fwd(x: bool) -> bool { return !x; }
