fn finish(i: u32, value: T) { store(i, value.y); }
