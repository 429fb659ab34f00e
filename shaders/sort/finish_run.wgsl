// Needs of the generator: params.len, store_keys, store_order
// Gives: finish
fn finish(row: u32, position: u32, key: u32, place: u32) {
    store_keys(row * params.len + position, key);
    store_order(row * params.len + position, place);
}
