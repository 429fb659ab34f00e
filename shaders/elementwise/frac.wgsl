// frac(x) = x - trunc(x), with the sign of x; derivative 1
fn frac_fwd(x: f32) -> f32 {
    if is_inf(x) { return not_a_number(); }
    return x - trunc(x);
}
fn frac_bwd(dy: f32) -> f32 { return dy; }
