// Needs of index/run_four or index/run_one: Places, Run
// Needs of the generator: load_totals
// Gives: totals_at
fn totals_at(first: u32, i: Places) -> Run { return load_totals(first + i); }
