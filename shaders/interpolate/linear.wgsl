// Linear in every dim: o lies at place(o) / whole() - 1 (edges.wgsl, points.wgsl), or at 0 where that is less, and reads the position before with
// weight 1 less the fraction and the next position with the fraction, the last position alone beyond it.
//
// Needs of conv/window or window/taps: input_size, output_size
// Needs of interpolate/edges or interpolate/nearest or interpolate/nearest_exact or interpolate/points: first_reader
// Needs of interpolate/edges or interpolate/points: place, whole
// Needs of window/taps: Taps
// Gives: readers, reads, source, weight
fn source(o: vec3<u32>) -> vec3<u32> { return max(place(o), whole()) - whole(); }

fn reads(o: vec3<u32>) -> Taps {
    let s = source(o);
    let first = min(s / whole(), input_size() - 1u);
    let alone = s % whole() == vec3<u32>(0u);
    let last = first + 1u == input_size();
    return Taps(first, select(vec3<u32>(2u), vec3<u32>(1u), alone | last), vec3<u32>(1u));
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
    let above = vec3<f32>(s % whole()) / vec3<f32>(whole());
    let below = select(vec3<f32>(0.0), 1.0 - above, p == taps.first);
    let pair = below + select(vec3<f32>(0.0), above, p == taps.first + 1u);
    let alone = select(vec3<f32>(0.0), vec3<f32>(1.0), p == taps.first);
    let each = select(pair, alone, taps.count == vec3<u32>(1u));
    return each.x * each.y * each.z;
}
