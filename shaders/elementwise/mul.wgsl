// mul(a, b) = a * b
struct MulGrad { da: f32, db: f32 }
fn mul_fwd(a: f32, b: f32) -> f32 { return a * b; }
fn mul_fwd_i32(a: i32, b: i32) -> i32 { return a * b; }
fn mul_fwd_u32(a: u32, b: u32) -> u32 { return a * b; }
fn mul_bwd(a: f32, b: f32, dy: f32) -> MulGrad { return MulGrad(dy * b, dy * a); }
