fn before(i: u32) -> T { return load_prefix(i); }
