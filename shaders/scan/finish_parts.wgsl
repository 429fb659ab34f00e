// Needs of scan/affine: T
// Needs of the generator: store_parts
// Gives: finish
fn finish(i: u32, value: T) { store_parts(i, value); }
