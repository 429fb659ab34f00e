// softsign(x) = x / (1 + |x|); derivative 1 / (1 + |x|)^2. (Turian, Bergstra, Bengio 2009)
fn softsign_fwd(x: f32) -> f32 {
    if is_inf(x) { return select(1.0, -1.0, x < 0.0); }
    return x / (1.0 + abs(x));
}
fn softsign_bwd(x: f32, dy: f32) -> f32 {
    let r = 1.0 / (1.0 + abs(x));
    return dy * r * r;
}
