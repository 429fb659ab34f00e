// Needs of rows/quads or rows/scalars: Part
// Needs of the generator: store_sums
// Gives: finish
fn finish(p: u32, sum: Part) { store_sums(p, sum); }
