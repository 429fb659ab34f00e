// A read eight elements along k at a time, for A with rows that are contiguous and aligned to eight elements. Places and strides count
// groups of eight. K is a multiple of eight.

// The place of a row's first element.
fn a_start(batch: u32, row: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2) + row * params.a_row;
}

// From a place to its neighbour along k.
fn a_stride() -> u32 {
    return 1u;
}

// From a place to the one that is loaded next, in strides.
const A_STEP: u32 = 1u;

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
