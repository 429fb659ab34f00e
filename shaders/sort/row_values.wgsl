// The rows of x, seen as [outer, len, inner]: one for each (outer, inner). `turn` turns all bits of keys to sort descending.
//
// Needs of sort/key_bool or sort/key_f32 or sort/key_i32 or sort/key_u32: sort_key
// Needs of the generator: load_x, params.inner, params.len, params.turn
// Gives: check, key_at
fn key_at(row: u32, place: u32) -> u32 {
    let i = (row / params.inner * params.len + place) * params.inner + row % params.inner;
    return sort_key(load_x(i)) ^ params.turn;
}
fn check(row: u32, place: u32) {}
