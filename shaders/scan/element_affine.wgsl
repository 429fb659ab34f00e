// Needs of scan/affine: T
// Needs of the generator: load_a, load_b
// Gives: element
fn element(i: u32, place: u32) -> T { return T(load_a(i), load_b(i)); }
