// A boolean mask: true where a query may look.
//
// Needs of the generator: load_mask, params.keys
// Gives: masked
fn masked(score: f32, row: u32, key: u32) -> f32 {
    return select(-infinity(), score, load_mask(row * params.keys + key));
}
