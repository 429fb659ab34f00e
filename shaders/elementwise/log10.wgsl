// log10(x) = ln x / ln 10
fn log10_fwd(x: f32) -> f32 { return safe_log(x) * LOG10_E; }
fn log10_bwd(x: f32, dy: f32) -> f32 { return dy * LOG10_E / x; }
