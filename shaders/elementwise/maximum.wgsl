// maximum(a, b), NaN where either is; ties share the gradient in halves
struct MaximumGrad { da: f32, db: f32 }
fn maximum_fwd(a: f32, b: f32) -> f32 {
    if is_nan(a) { return a; }
    if is_nan(b) { return b; }
    return max(a, b);
}
fn maximum_fwd_i32(a: i32, b: i32) -> i32 { return max(a, b); }
fn maximum_fwd_u32(a: u32, b: u32) -> u32 { return max(a, b); }
fn maximum_bwd(a: f32, b: f32, dy: f32) -> MaximumGrad {
    let share = select(select(0.0, 1.0, a > b), 0.5, a == b);
    return MaximumGrad(dy * share, dy * (1.0 - share));
}
