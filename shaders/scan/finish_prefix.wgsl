// Needs of scan/affine: T
// Needs of the generator: store_prefix
// Gives: finish
fn finish(i: u32, value: T) { store_prefix(i, value); }
