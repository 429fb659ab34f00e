// Counter-based random numbers: the element's index is the counter, (seed, stream) the key.
// Hash: pcg4d of M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020.
fn random_bits(i: u32, seed: u32, stream: u32) -> vec4<u32> {
    var v = vec4<u32>(i, seed, stream, 0x9e3779b9u) * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v ^= v >> vec4<u32>(16u);
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}
// [0, 1) in steps of 2^-24.
fn random_unit(bits: u32) -> f32 { return f32(bits >> 8u) * 5.9604644775390625e-8; }
fn random_uniform(i: u32, low: f32, high: f32, seed: u32, stream: u32) -> f32 {
    let x = low + (high - low) * random_unit(random_bits(i, seed, stream).x);
    return select(x, low, x >= high);
}
// Box and Muller, Ann. Math. Stat. 29 (1958) 610-611; the first uniform lies in (0, 1], so its logarithm is finite.
fn random_normal(i: u32, mean: f32, deviation: f32, seed: u32, stream: u32) -> f32 {
    let bits = random_bits(i, seed, stream);
    let radius = sqrt(-2.0 * safe_log(f32((bits.x >> 8u) + 1u) * 5.9604644775390625e-8));
    return mean + deviation * radius * sin_cos(TWO_PI * random_unit(bits.y)).y;
}
fn random_bernoulli(i: u32, p: f32, seed: u32, stream: u32) -> bool {
    return random_unit(random_bits(i, seed, stream).x) < p;
}
fn random_randint(i: u32, low: i32, high: i32, seed: u32, stream: u32) -> i32 {
    return low + i32(random_bits(i, seed, stream).x % max(u32(high - low), 1u));
}
