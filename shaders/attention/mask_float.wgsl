// A mask that is added to the scores; -infinity hides a key.
fn masked(score: f32, row: u32, key: u32) -> f32 { return score + load_mask(row * params.keys + key); }
