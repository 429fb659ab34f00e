fn finish(i: u32, value: T) {
    store_a(i, value.x);
    store_b(i, value.y);
}
