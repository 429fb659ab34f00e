// Needs of index/run_four or index/run_one: Places, Run
// Needs of the generator: load_totals
// Gives: totals_at
fn totals_at(first: u32, i: Places) -> Run {
    return Run(load_totals(first + i.a), load_totals(first + i.b), load_totals(first + i.c), load_totals(first + i.d));
}
