// What one load of A brings: four steps.
//
// Needs of software/matmul/a_quads or software/matmul/a_scalars: a_quad
// Gives: A_PARTS, a_first_part, a_load, a_second_part
const A_PARTS: u32 = 1u;
alias Held = vec4<f32>;

fn a_load(at: u32, stride: u32, k: u32, last: u32) -> Held {
    return a_quad(at, stride, k, last);
}

fn a_first_part(held: Held) -> vec4<f32> {
    return held;
}

fn a_second_part(held: Held) -> vec4<f32> {
    return held;
}
