// Gives: masked, shows
fn shows(at: u32) -> bool { return true; }
fn masked(score: vec4<f32>, at: vec4<u32>) -> vec4<f32> { return score; }
