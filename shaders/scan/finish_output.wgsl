// Needs of scan/affine: T
// Needs of the generator: store
// Gives: finish
fn finish(i: u32, value: T) { store(i, value); }
