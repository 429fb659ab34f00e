// log2(x) = ln x / ln 2
fn log2_fwd(x: f32) -> f32 { return safe_log(x) * LOG2_E; }
fn log2_bwd(x: f32, dy: f32) -> f32 { return dy * LOG2_E / x; }
