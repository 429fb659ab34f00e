// log(x) = ln x
fn log_fwd(x: f32) -> f32 { return safe_log(x); }
fn log_bwd(x: f32, dy: f32) -> f32 { return dy / x; }
