// What is scattered to one place is added up.
//
// Needs of index/part_four or index/part_one: Part
// Gives: both, kept, nothing
fn nothing() -> Part { return Part(); }
fn both(a: Part, b: Part) -> Part { return a + b; }
// What a place gets: the total of what was scattered there.
fn kept(p: u32, total: Part, none: bool) -> Part { return total; }
