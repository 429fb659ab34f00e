// neg(x) = -x
fn neg_fwd(x: f32) -> f32 { return -x; }
fn neg_fwd_i32(x: i32) -> i32 { return -x; }
fn neg_fwd_u32(x: u32) -> u32 { return 0u - x; }
fn neg_bwd(dy: f32) -> f32 { return -dy; }
