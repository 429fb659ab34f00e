// Linear in every dim, with the corners not aligned: o lies at s = max((o + 1/2) in / out - 1/2, 0) of the input and
// reads floor(s) with weight 1 - frac(s) and the next position with weight frac(s), the last position alone beyond it.
// s is the whole number `source` over 2 out, so both directions find the same positions and weights.
fn source(o: vec3<u32>) -> vec3<u32> {
    let s = (2u * o + 1u) * input_size();
    return max(s, output_size()) - output_size();
}

fn reads(o: vec3<u32>) -> Taps {
    let s = source(o);
    let first = s / (2u * output_size());
    let alone = s % (2u * output_size()) == vec3<u32>(0u);
    let last = first + 1u == input_size();
    return Taps(first, select(vec3<u32>(2u), vec3<u32>(1u), alone | last), vec3<u32>(1u));
}

// The first o with floor(s) >= q: from (2 o + 1) in >= out (2 q + 1).
fn first_reader(q: vec3<u32>) -> vec3<u32> {
    let odd = (output_size() * (2u * q + 1u) + input_size() - 1u) / input_size();
    return min(select(odd / 2u, vec3<u32>(0u), q == vec3<u32>(0u)), output_size());
}

fn readers(p: vec3<u32>) -> Taps {
    let first = first_reader(max(p, vec3<u32>(1u)) - 1u);
    return Taps(first, first_reader(p + 1u) - first, vec3<u32>(1u));
}

fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 {
    let s = source(o);
    let taps = reads(o);
    let above = vec3<f32>(s % (2u * output_size())) / vec3<f32>(2u * output_size());
    let below = select(vec3<f32>(0.0), 1.0 - above, p == taps.first);
    let pair = below + select(vec3<f32>(0.0), above, p == taps.first + 1u);
    let alone = select(vec3<f32>(0.0), vec3<f32>(1.0), p == taps.first);
    let each = select(pair, alone, taps.count == vec3<u32>(1u));
    return each.x * each.y * each.z;
}
