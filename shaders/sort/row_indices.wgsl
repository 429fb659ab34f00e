// The rows of an index tensor seen as [outer, len, inner], where rows that are equal by construction (an expanded index) are
// taken once: row_inner is inner or 1. An index out of range gets the key `size`, behind all others, and is reported.
//
// Needs of the generator: load_index, params.inner, params.len, params.row_inner, params.size, report_index
// Gives: check, key_at
fn index_at(row: u32, place: u32) -> i32 {
    return i32(load_index((row / params.row_inner * params.len + place) * params.inner + row % params.row_inner));
}
fn key_at(row: u32, place: u32) -> u32 {
    let index = index_at(row, place);
    return select(u32(index), params.size, index < 0 || u32(index) >= params.size);
}
fn check(row: u32, place: u32) {
    let index = index_at(row, place);
    if (index < 0 || u32(index) >= params.size) { report_index(index, params.size); }
}
