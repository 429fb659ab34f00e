fn finish(i: u32, value: T) { store_prefix(i, value); }
