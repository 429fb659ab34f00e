fn totals_at(first: u32, i: Places) -> Run { return load_totals(first + i); }
