fn finish(p: u32, sum: f32) { store(p, sum); }
