fn finish(row: u32, position: u32, key: u32, place: u32) {
    store_keys(row * params.len + position, key);
    store_order(row * params.len + position, place);
}
