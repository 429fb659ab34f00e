// The maps y -> a y + b as vec2(a, b); first a, then b: y -> b.x (a.x y + a.y) + b.y.
//
// Gives: T, combine
alias T = vec2<f32>;
fn combine(a: T, b: T, row: u32) -> T { return T(a.x * b.x, a.y * b.x + b.y); }
