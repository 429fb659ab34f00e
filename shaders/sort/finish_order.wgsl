// Needs of the generator: params.inner, params.len, store
// Gives: finish
fn finish(row: u32, position: u32, key: u32, place: u32) {
    store((row / params.inner * params.len + position) * params.inner + row % params.inner, place);
}
