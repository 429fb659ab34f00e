// The only chunk of a row has nothing before it.
//
// Needs of scan/affine: T
// Gives: before
fn before(i: u32) -> T { return T(); }
