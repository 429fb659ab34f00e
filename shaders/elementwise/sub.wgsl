// sub(a, b) = a - b
struct SubGrad { da: f32, db: f32 }
fn sub_fwd(a: f32, b: f32) -> f32 { return a - b; }
fn sub_fwd_i32(a: i32, b: i32) -> i32 { return a - b; }
fn sub_fwd_u32(a: u32, b: u32) -> u32 { return a - b; }
fn sub_bwd(dy: f32) -> SubGrad { return SubGrad(dy, -dy); }
