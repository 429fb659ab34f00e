// Gives: masked
fn masked(score: f32, row: u32, key: u32) -> f32 { return score; }
