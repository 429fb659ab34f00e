// minimum(a, b), NaN where either is; ties share the gradient in halves
struct MinimumGrad { da: f32, db: f32 }
fn minimum_fwd(a: f32, b: f32) -> f32 {
    if is_nan(a) { return a; }
    if is_nan(b) { return b; }
    return min(a, b);
}
fn minimum_fwd_i32(a: i32, b: i32) -> i32 { return min(a, b); }
fn minimum_fwd_u32(a: u32, b: u32) -> u32 { return min(a, b); }
fn minimum_bwd(a: f32, b: f32, dy: f32) -> MinimumGrad {
    let share = select(select(0.0, 1.0, a < b), 0.5, a == b);
    return MinimumGrad(dy * share, dy * (1.0 - share));
}
