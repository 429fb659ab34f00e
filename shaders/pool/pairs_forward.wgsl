// Needs of pool/pairs: search_pair
// Needs of pool/walk: Walk
// Needs of the generator: store
// Gives: put_largest
fn put_largest(walk: Walk, input: u32, output: u32) {
    let pair = search_pair(walk, input);
    store(output, pair.first.value);
    store(output + 1u, pair.second.value);
}
