// Nearest neighbour: o reads the one position floor(o in / out); p is read by ceil(p out / in) .. ceil((p + 1) out /
// in).
fn reads(o: vec3<u32>) -> Taps {
    return Taps(o * input_size() / output_size(), vec3<u32>(1u), vec3<u32>(1u));
}

fn readers(p: vec3<u32>) -> Taps {
    let size = input_size();
    let first = (p * output_size() + size - 1u) / size;
    let end = ((p + 1u) * output_size() + size - 1u) / size;
    return Taps(first, end - first, vec3<u32>(1u));
}

fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 { return 1.0; }
