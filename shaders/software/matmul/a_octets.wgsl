// A read eight elements along k at a time, for A with rows that are contiguous and aligned to eight elements. K is a multiple of eight.
//
// Needs of the generator: octet_a
// Gives: A_PARTS, a_first_part, a_load, a_second_part

// What one load brings: four steps, and four more.
const A_PARTS: u32 = 2u;
alias Held = array<vec4<f32>, 2>;

fn a_load(at: u32, stride: u32, k: u32, last: u32) -> Held {
    return octet_a(at);
}

fn a_first_part(held: Held) -> vec4<f32> {
    return held[0];
}

fn a_second_part(held: Held) -> vec4<f32> {
    return held[1];
}
