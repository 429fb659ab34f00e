// Partial sums, one at a time.
fn partial_at(i: u32) -> f32 { return partial[i]; }

