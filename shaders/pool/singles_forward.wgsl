fn put_largest(walk: Walk, input: u32, output: u32) {
    store(output, search_window(walk, input).value);
}
