// What stands before is applied to y = 0, so its slope does not matter.
//
// Needs of scan/affine: T
// Needs of the generator: load_prefix
// Gives: before
fn before(i: u32) -> T { return T(0.0, load_prefix(i)); }
