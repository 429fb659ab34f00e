// softplus(x) = ln(1 + e^x); derivative sigmoid(x). (Dugas et al. 2000)
fn softplus_fwd(x: f32) -> f32 { return softplus(x); }
fn softplus_bwd(x: f32, dy: f32) -> f32 { return dy * sigmoid(x); }
