// How reductions combine two values. NaN wins in max and min, as in IEEE 754-2019 maximum and minimum.

fn combine_sum_f32(a: f32, b: f32) -> f32 { return a + b; }
fn combine_sum_i32(a: i32, b: i32) -> i32 { return a + b; }
fn combine_sum_u32(a: u32, b: u32) -> u32 { return a + b; }

fn combine_prod_f32(a: f32, b: f32) -> f32 { return a * b; }
fn combine_prod_i32(a: i32, b: i32) -> i32 { return a * b; }
fn combine_prod_u32(a: u32, b: u32) -> u32 { return a * b; }

fn combine_max_f32(a: f32, b: f32) -> f32 {
    if (is_nan(a)) { return a; }
    if (is_nan(b)) { return b; }
    return max(a, b);
}
fn combine_max_i32(a: i32, b: i32) -> i32 { return max(a, b); }
fn combine_max_u32(a: u32, b: u32) -> u32 { return max(a, b); }
fn combine_max_bool(a: bool, b: bool) -> bool { return a || b; }

fn combine_min_f32(a: f32, b: f32) -> f32 {
    if (is_nan(a)) { return a; }
    if (is_nan(b)) { return b; }
    return min(a, b);
}
fn combine_min_i32(a: i32, b: i32) -> i32 { return min(a, b); }
fn combine_min_u32(a: u32, b: u32) -> u32 { return min(a, b); }
fn combine_min_bool(a: bool, b: bool) -> bool { return a && b; }

// Whether (value a, index i) beats (value b, index j): larger value, NaN above all, the smaller index among equals.
fn beats_max_f32(a: f32, i: u32, b: f32, j: u32) -> bool {
    if (is_nan(a) != is_nan(b)) { return is_nan(a); }
    if (is_nan(a) || a == b) { return i < j; }
    return a > b;
}
fn beats_max_i32(a: i32, i: u32, b: i32, j: u32) -> bool { return a > b || (a == b && i < j); }
fn beats_max_u32(a: u32, i: u32, b: u32, j: u32) -> bool { return a > b || (a == b && i < j); }
fn beats_max_bool(a: bool, i: u32, b: bool, j: u32) -> bool { return (a && !b) || (a == b && i < j); }

// The same for the smaller value.
fn beats_min_f32(a: f32, i: u32, b: f32, j: u32) -> bool {
    if (is_nan(a) != is_nan(b)) { return is_nan(a); }
    if (is_nan(a) || a == b) { return i < j; }
    return a < b;
}
fn beats_min_i32(a: i32, i: u32, b: i32, j: u32) -> bool { return a < b || (a == b && i < j); }
fn beats_min_u32(a: u32, i: u32, b: u32, j: u32) -> bool { return a < b || (a == b && i < j); }
fn beats_min_bool(a: bool, i: u32, b: bool, j: u32) -> bool { return (!a && b) || (a == b && i < j); }
