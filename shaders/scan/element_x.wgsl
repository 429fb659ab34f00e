// Needs of scan/affine: T
// Needs of the generator: load_x
// Gives: element
fn element(i: u32, place: u32) -> T { return load_x(i); }
