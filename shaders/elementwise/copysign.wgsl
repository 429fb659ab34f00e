// copysign(a, b) = |a| with the sign of b, of -0 and NaN too; gradients 1 or -1 as the sign stays or turns (0 at a = 0), and 0
struct CopysignGrad { da: f32, db: f32 }
fn copysign_fwd(a: f32, b: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(a) & 0x7fffffffu) | (bitcast<u32>(b) & 0x80000000u));
}
fn copysign_bwd(a: f32, b: f32, dy: f32) -> CopysignGrad {
    let turned = (bitcast<u32>(a) >> 31u) != (bitcast<u32>(b) >> 31u);
    return CopysignGrad(select(select(dy, -dy, turned), 0.0, a == 0.0), 0.0);
}
