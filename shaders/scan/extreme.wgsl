// Of two places in a row of x, the one whose element is larger; the later one of equals. NaN is larger than every number.
// `turn` turns all bits of keys, which makes it the smaller one; NaN still wins.
//
// Needs of scan/affine: T
// Needs of sort/key_bool or sort/key_f32 or sort/key_i32 or sort/key_u32: sort_key
// Needs of the generator: FLOATS, load_x, params.inner, params.turn
// Gives: combine
fn key_of(place: u32, row: u32) -> u32 {
    let key = sort_key(load_x(row + place * params.inner));
    return select(key ^ params.turn, key, FLOATS == 1u && key == 0xffffffffu);
}
fn combine(a: T, b: T, row: u32) -> T { return select(a, b, key_of(b, row) >= key_of(a, row)); }
