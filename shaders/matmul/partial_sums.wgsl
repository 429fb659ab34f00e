// Partial sums, one at a time.
//
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: partial
// Gives: partial_at
fn partial_at(i: u32) -> f32 { return partial[i]; }

