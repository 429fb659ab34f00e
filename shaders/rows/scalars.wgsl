// Parts of one element.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = f32;

fn all_of(value: f32) -> Part { return value; }
fn total(part: Part) -> f32 { return part; }
fn largest_of(part: Part) -> f32 { return part; }
fn exp_of(part: Part) -> Part { return safe_exp(part); }

// The larger one; NaN where one is.
fn larger(a: Part, b: Part) -> Part { return select(a, b, is_nan(b) || b > a); }

// 1 at element i of the row, 0 at all others.
fn one_at(k: u32, i: u32) -> Part { return select(0.0, 1.0, k == i); }
