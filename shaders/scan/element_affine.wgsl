fn element(i: u32, place: u32) -> T { return T(load_a(i), load_b(i)); }
