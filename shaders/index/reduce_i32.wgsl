// As reduce_f32.wgsl for i32.
//
// Needs of index/part_four or index/part_one: Part
// Needs of the generator: INCLUDE_SELF, REDUCTION, load_own
// Gives: both, kept, nothing
fn nothing() -> Part {
    if (REDUCTION == 0u) { return 1; }
    return select(2147483647i, bitcast<i32>(0x80000000u), REDUCTION == 1u);
}
fn both(a: Part, b: Part) -> Part {
    if (REDUCTION == 0u) { return a * b; }
    return select(min(a, b), max(a, b), REDUCTION == 1u);
}
// What a place gets: what it held, which takes part where INCLUDE_SELF says so or where nothing was scattered there.
fn kept(p: u32, total: Part, none: bool) -> Part {
    let own = load_own(p);
    if (INCLUDE_SELF == 0u) { return select(total, own, none); }
    return both(own, total);
}
