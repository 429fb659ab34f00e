// Cubic convolution in every dim (R. Keys, IEEE Trans. ASSP 29 (1981) 1153-1160, with a = -3/4): o lies at place(o) / whole() - 1 (edges.wgsl,
// points.wgsl) and reads two positions on both sides; those beyond the ends are the ends.
//
// Needs of conv/window or window/taps: input_size, output_size
// Needs of interpolate/edges or interpolate/nearest or interpolate/nearest_exact or interpolate/points: first_reader
// Needs of interpolate/edges or interpolate/points: place, whole
// Needs of window/taps: Taps
// Gives: readers, reads, weight
fn last_position() -> vec3<i32> { return vec3<i32>(input_size()) - 1; }

// The k-th position that o reads.
fn tap(o: vec3<u32>, k: i32) -> vec3<i32> {
    return clamp(vec3<i32>(place(o) / whole()) + (k - 2), vec3<i32>(0), last_position());
}

fn reads(o: vec3<u32>) -> Taps {
    let first = tap(o, 0);
    return Taps(vec3<u32>(first), vec3<u32>(tap(o, 3) - first + 1), vec3<u32>(1u));
}

// p is read from less than two positions before and behind it, the last position also from behind that.
fn readers(p: vec3<u32>) -> Taps {
    let first = select(first_reader(max(p, vec3<u32>(2u)) - 2u), vec3<u32>(0u), p < vec3<u32>(2u));
    let end = select(first_reader(p + 2u), output_size(), p + 1u == input_size());
    return Taps(first, end - first, vec3<u32>(1u));
}

fn cubic(x: vec3<f32>) -> vec3<f32> {
    let near = (1.25 * x - 2.25) * x * x + 1.0;
    let far = ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0;
    return select(far, near, x <= vec3<f32>(1.0));
}

fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 {
    let above = vec3<f32>(place(o) % whole()) / vec3<f32>(whole());
    var each = vec3<f32>(0.0);
    for (var k = 0; k < 4; k += 1) {
        let distance = abs(vec3<f32>(f32(k - 1)) - above);
        each += select(vec3<f32>(0.0), cubic(distance), tap(o, k) == vec3<i32>(p));
    }
    return each.x * each.y * each.z;
}
