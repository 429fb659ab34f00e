// One part of a row at a time.
alias Run = Part;
alias Places = u32;
fn x_at(first: u32, i: Places) -> Run { return load_x(first + i); }
fn empty_run() -> Run { return nothing(); }
fn plus(a: Run, b: Run) -> Run { return both(a, b); }
