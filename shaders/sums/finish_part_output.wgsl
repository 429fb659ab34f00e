fn finish(p: u32, sum: Part) { store(p, sum); }
