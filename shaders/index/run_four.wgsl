// Four parts of a row at a time.
//
// Needs of index/part_four or index/part_one: Part
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: both, nothing
// Needs of the generator: load_x
// Gives: Places, Run, empty_run, plus, x_at
struct Run { a: Part, b: Part, c: Part, d: Part }
struct Places { a: u32, b: u32, c: u32, d: u32 }
fn x_at(first: u32, i: Places) -> Run {
    return Run(load_x(first + i.a), load_x(first + i.b), load_x(first + i.c), load_x(first + i.d));
}
fn empty_run() -> Run { return Run(nothing(), nothing(), nothing(), nothing()); }
fn plus(a: Run, b: Run) -> Run { return Run(both(a.a, b.a), both(a.b, b.b), both(a.c, b.c), both(a.d, b.d)); }
