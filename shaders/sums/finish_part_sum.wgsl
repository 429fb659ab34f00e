fn finish(p: u32, sum: Part) { store_sums(p, sum); }
