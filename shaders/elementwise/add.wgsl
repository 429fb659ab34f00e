// add(a, b) = a + b
struct AddGrad { da: f32, db: f32 }
fn add_fwd(a: f32, b: f32) -> f32 { return a + b; }
fn add_fwd_i32(a: i32, b: i32) -> i32 { return a + b; }
fn add_fwd_u32(a: u32, b: u32) -> u32 { return a + b; }
fn add_bwd(dy: f32) -> AddGrad { return AddGrad(dy, dy); }
