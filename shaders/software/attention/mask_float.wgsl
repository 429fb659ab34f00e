// A mask that is added to the scores; -infinity hides a key.
//
// Needs of the generator: load_mask, params.keys
// Gives: masked
fn masked(score: f32, row: u32, key: u32) -> f32 { return score + load_mask(row * params.keys + key); }
