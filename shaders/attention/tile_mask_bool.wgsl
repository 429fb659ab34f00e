// A boolean mask: true where a query may look.
//
// Needs of the generator: element_mask
// Gives: masked, shows
fn shows(at: u32) -> bool { return element_mask(at); }
fn masked(score: vec4<f32>, at: vec4<u32>) -> vec4<f32> {
    let seen = vec4<bool>(element_mask(at.x), element_mask(at.y), element_mask(at.z), element_mask(at.w));
    return select(vec4<f32>(-infinity()), score, seen);
}
