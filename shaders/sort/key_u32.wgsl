// Gives: sort_key
fn sort_key(x: u32) -> u32 { return x; }
