// arange(i) = start + i * step; the float form counts in f32, exact to 2^24 elements
fn arange_f32(i: u32, start: f32, step: f32) -> f32 { return start + f32(i) * step; }
fn arange_i32(i: u32, start: i32, step: i32) -> i32 { return start + i32(i) * step; }
fn arange_u32(i: u32, start: u32, step: u32) -> u32 { return start + i * step; }

// linspace(i) = start + i * step in the first half, end - (len - 1 - i) * step in the second, so that both ends are exact
fn linspace(i: u32, start: f32, end: f32, step: f32, len: u32) -> f32 {
    if i < len / 2u { return start + f32(i) * step; }
    return end - f32(len - 1u - i) * step;
}
