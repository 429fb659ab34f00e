// Needs of pool/singles: search_window
// Needs of pool/walk: Walk
// Needs of the generator: store
// Gives: put_largest
fn put_largest(walk: Walk, input: u32, output: u32) {
    store(output, search_window(walk, input).value);
}
