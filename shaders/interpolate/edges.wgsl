// Elements are areas whose outer edges meet: neighbouring outputs lie r = ratio_in / ratio_out apart in the input, o lies at (o + 1/2) r - 1/2.
// That is the whole number place(o) over whole(), less 1, so both directions find the same positions and weights.
//
// Needs of conv/window or window/taps: output_size
// Needs of the generator: params.ratio_in_d, params.ratio_in_h, params.ratio_in_w, params.ratio_out_d, params.ratio_out_h,
//     params.ratio_out_w
// Gives: first_reader, place, whole
fn ratio_in() -> vec3<u32> { return vec3<u32>(params.ratio_in_d, params.ratio_in_h, params.ratio_in_w); }
fn ratio_out() -> vec3<u32> { return vec3<u32>(params.ratio_out_d, params.ratio_out_h, params.ratio_out_w); }
fn whole() -> vec3<u32> { return 2u * ratio_out(); }
fn place(o: vec3<u32>) -> vec3<u32> { return (2u * o + 1u) * ratio_in() + ratio_out(); }

// The first o at q or behind it: from (2 o + 1) ratio_in >= (2 q + 1) ratio_out.
fn first_reader(q: vec3<u32>) -> vec3<u32> {
    let odd = (ratio_out() * (2u * q + 1u) + ratio_in() - 1u) / ratio_in();
    return min(odd / 2u, output_size());
}
