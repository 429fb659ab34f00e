// Windows that cover the input evenly whatever its size: o reads floor(o in / out) .. ceil((o + 1) in / out).
// Turned round, p is read by floor(p out / in) .. ceil((p + 1) out / in).
//
// Needs of conv/window or window/taps: input_size, output_size, volume
// Needs of window/taps: Taps
// Gives: readers, reads, weight
fn evenly(at: vec3<u32>, size: vec3<u32>, other: vec3<u32>) -> Taps {
    let first = at * other / size;
    let end = ((at + 1u) * other + size - 1u) / size;
    return Taps(first, end - first, vec3<u32>(1u));
}

fn reads(o: vec3<u32>) -> Taps { return evenly(o, output_size(), input_size()); }
fn readers(p: vec3<u32>) -> Taps { return evenly(p, input_size(), output_size()); }
fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 { return 1.0 / f32(volume(reads(o).count)); }
