// The only chunk of a row has nothing before it.
fn before(i: u32) -> T { return T(); }
