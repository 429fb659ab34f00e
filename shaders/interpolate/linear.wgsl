// Linear in every dim, with the corners not aligned: neighbouring outputs lie r = ratio_in / ratio_out apart in the input, o lies at
// s = max((o + 1/2) r - 1/2, 0) and reads floor(s) with weight 1 - frac(s) and the next position with weight frac(s), the last
// position alone beyond it. s is the whole number `source` over 2 ratio_out, so both directions find the same positions and weights.
fn ratio_in() -> vec3<u32> { return vec3<u32>(params.ratio_in_d, params.ratio_in_h, params.ratio_in_w); }
fn ratio_out() -> vec3<u32> { return vec3<u32>(params.ratio_out_d, params.ratio_out_h, params.ratio_out_w); }

fn source(o: vec3<u32>) -> vec3<u32> {
    let s = (2u * o + 1u) * ratio_in();
    return max(s, ratio_out()) - ratio_out();
}

fn reads(o: vec3<u32>) -> Taps {
    let s = source(o);
    let first = min(s / (2u * ratio_out()), input_size() - 1u);
    let alone = s % (2u * ratio_out()) == vec3<u32>(0u);
    let last = first + 1u == input_size();
    return Taps(first, select(vec3<u32>(2u), vec3<u32>(1u), alone | last), vec3<u32>(1u));
}

// The first o with (o + 1/2) r - 1/2 >= q: from (2 o + 1) ratio_in >= (2 q + 1) ratio_out.
fn first_reader(q: vec3<u32>) -> vec3<u32> {
    let odd = (ratio_out() * (2u * q + 1u) + ratio_in() - 1u) / ratio_in();
    return min(odd / 2u, output_size());
}

// p is read from between its two neighbours; the first position also from before it, the last one also from behind it.
fn readers(p: vec3<u32>) -> Taps {
    let first = select(first_reader(max(p, vec3<u32>(1u)) - 1u), vec3<u32>(0u), p == vec3<u32>(0u));
    let end = select(first_reader(p + 1u), output_size(), p + 1u == input_size());
    return Taps(first, end - first, vec3<u32>(1u));
}

fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 {
    let s = source(o);
    let taps = reads(o);
    let above = vec3<f32>(s % (2u * ratio_out())) / vec3<f32>(2u * ratio_out());
    let below = select(vec3<f32>(0.0), 1.0 - above, p == taps.first);
    let pair = below + select(vec3<f32>(0.0), above, p == taps.first + 1u);
    let alone = select(vec3<f32>(0.0), vec3<f32>(1.0), p == taps.first);
    let each = select(pair, alone, taps.count == vec3<u32>(1u));
    return each.x * each.y * each.z;
}
