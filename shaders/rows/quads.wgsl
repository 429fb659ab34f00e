// Parts of four neighbours.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = vec4<f32>;

fn all_of(value: f32) -> Part { return vec4<f32>(value); }
fn total(part: Part) -> f32 { return (part.x + part.y) + (part.z + part.w); }
fn exp_of(part: Part) -> Part {
    return vec4<f32>(safe_exp(part.x), safe_exp(part.y), safe_exp(part.z), safe_exp(part.w));
}

fn larger_one(a: f32, b: f32) -> f32 { return select(a, b, is_nan(b) || b > a); }
fn largest_of(part: Part) -> f32 { return larger_one(larger_one(part.x, part.y), larger_one(part.z, part.w)); }

// The larger ones; NaN where one is.
fn larger(a: Part, b: Part) -> Part {
    return vec4<f32>(larger_one(a.x, b.x), larger_one(a.y, b.y), larger_one(a.z, b.z), larger_one(a.w, b.w));
}

// 1 at element i of the row, 0 at all others.
fn one_at(k: u32, i: u32) -> Part {
    return select(vec4<f32>(), vec4<f32>(1.0), vec4<u32>(k * 4u) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(i));
}
