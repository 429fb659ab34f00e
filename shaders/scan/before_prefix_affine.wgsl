// What stands before is applied to y = 0, so its slope does not matter.
fn before(i: u32) -> T { return T(0.0, load_prefix(i)); }
