// Needs of scan/affine: T
// Needs of the generator: load_prefix
// Gives: before
fn before(i: u32) -> T { return load_prefix(i); }
