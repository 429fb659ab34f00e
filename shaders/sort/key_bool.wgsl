// Gives: sort_key
fn sort_key(x: bool) -> u32 { return select(0u, 1u, x); }
