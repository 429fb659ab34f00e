// The element whose middle is nearest: o reads floor((o + 1/2) ratio_in / ratio_out), at most the last position.
//
// Needs of conv/window or window/taps: input_size, output_size
// Needs of the generator: params.ratio_in_d, params.ratio_in_h, params.ratio_in_w, params.ratio_out_d, params.ratio_out_h,
//     params.ratio_out_w
// Needs of window/taps: Taps
// Gives: first_reader, readers, reads, weight
fn ratio_in() -> vec3<u32> { return vec3<u32>(params.ratio_in_d, params.ratio_in_h, params.ratio_in_w); }
fn ratio_out() -> vec3<u32> { return vec3<u32>(params.ratio_out_d, params.ratio_out_h, params.ratio_out_w); }

fn reads(o: vec3<u32>) -> Taps {
    return Taps(min((2u * o + 1u) * ratio_in() / (2u * ratio_out()), input_size() - 1u), vec3<u32>(1u), vec3<u32>(1u));
}

// The first o at p or behind it: from (2 o + 1) ratio_in >= 2 p ratio_out.
fn first_reader(p: vec3<u32>) -> vec3<u32> {
    return min((2u * p * ratio_out() + ratio_in() - 1u) / ratio_in() / 2u, output_size());
}

fn readers(p: vec3<u32>) -> Taps {
    let first = first_reader(p);
    let end = select(first_reader(p + 1u), output_size(), p + 1u == input_size());
    return Taps(first, end - first, vec3<u32>(1u));
}

fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 { return 1.0; }
