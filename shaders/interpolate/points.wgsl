// As edges.wgsl where elements are points, the outermost of which meet: o lies at o r. All lie at 0 where ratio_in is 0.
//
// Needs of conv/window or window/taps: output_size
// Needs of the generator: params.ratio_in_d, params.ratio_in_h, params.ratio_in_w, params.ratio_out_d, params.ratio_out_h,
//     params.ratio_out_w
// Gives: first_reader, place, whole
fn ratio_in() -> vec3<u32> { return vec3<u32>(params.ratio_in_d, params.ratio_in_h, params.ratio_in_w); }
fn ratio_out() -> vec3<u32> { return vec3<u32>(params.ratio_out_d, params.ratio_out_h, params.ratio_out_w); }
fn whole() -> vec3<u32> { return ratio_out(); }
fn place(o: vec3<u32>) -> vec3<u32> { return o * ratio_in() + ratio_out(); }

// The first o at q or behind it: from o ratio_in >= q ratio_out.
fn first_reader(q: vec3<u32>) -> vec3<u32> {
    let step = max(ratio_in(), vec3<u32>(1u));
    let first = min((q * ratio_out() + step - 1u) / step, output_size());
    return select(first, output_size(), (ratio_in() == vec3<u32>(0u)) & (q > vec3<u32>(0u)));
}
