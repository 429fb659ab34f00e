fn finish(i: u32, value: T) { store_parts(i, value); }
