// One part of a row at a time.
//
// Needs of index/part_four or index/part_one: Part
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: both, nothing
// Needs of the generator: load_x
// Gives: Places, Run, empty_run, plus, x_at
alias Run = Part;
alias Places = u32;
fn x_at(first: u32, i: Places) -> Run { return load_x(first + i); }
fn empty_run() -> Run { return nothing(); }
fn plus(a: Run, b: Run) -> Run { return both(a, b); }
