// Needs of rows/quads or rows/scalars: Part
// Needs of the generator: store
// Gives: finish
fn finish(p: u32, sum: Part) { store(p, sum); }
