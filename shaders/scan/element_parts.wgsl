fn element(i: u32, place: u32) -> T { return load_parts(i); }
