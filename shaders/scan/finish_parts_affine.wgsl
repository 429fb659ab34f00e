// Needs of scan/affine: T
// Needs of the generator: store_a, store_b
// Gives: finish
fn finish(i: u32, value: T) {
    store_a(i, value.x);
    store_b(i, value.y);
}
