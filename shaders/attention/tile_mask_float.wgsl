// A mask that is added to the scores; -infinity hides a key.
//
// Needs of the generator: element_mask
// Gives: masked, shows
fn shows(at: u32) -> bool { return bitcast<u32>(element_mask(at)) != 0xff800000u; }
fn masked(score: vec4<f32>, at: vec4<u32>) -> vec4<f32> {
    return score + vec4<f32>(element_mask(at.x), element_mask(at.y), element_mask(at.z), element_mask(at.w));
}
