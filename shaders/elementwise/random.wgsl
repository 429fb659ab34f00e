// Counter-based random numbers: the element's index is the counter, (seed, stream) the key.
// Hash: pcg4d of M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020.
fn random_bits(i: u32, seed: u32, stream: u32) -> vec4<u32> { return random_more(i, seed, stream, 0u); }
// More bits for the same element, by the number of the draw.
fn random_more(i: u32, seed: u32, stream: u32, draw: u32) -> vec4<u32> {
    var v = vec4<u32>(i, seed, stream, 0x9e3779b9u + draw) * 1664525u + 1013904223u;
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
// -ln of an exponential number, which is -ln(1 - u) for u of 48 bits: exact far out on both sides. The largest of logits with such noise is
// drawn by their softmax (Gumbel 1954).
fn random_gumbel(i: u32, seed: u32, stream: u32) -> f32 {
    let bits = random_bits(i, seed, stream);
    let u = (f32(bits.x >> 8u) + (f32(bits.y >> 9u) + 0.5) * 1.1920928955078125e-7) * 5.9604644775390625e-8;
    return -safe_log(-log1p(-min(u, 0.99999994039535522)));
}
// How many events of this rate there are.
fn random_poisson(i: u32, rate: f32, seed: u32, stream: u32) -> f32 {
    if (is_nan(rate) | is_inf(rate) | (rate < 0.0)) { return not_a_number(); }
    if (rate < 10.0) {
        // The first number whose cumulative probability passes a uniform number, while further ones change that.
        let u = random_unit(random_bits(i, seed, stream).x);
        var count = 0.0;
        var p = safe_exp(-rate);
        var sum = p;
        for (var turn = 0; (turn < 64) & (u >= sum) & ((p > 3e-8) | (count < rate)); turn += 1) {
            count += 1.0;
            p *= rate / count;
            sum += p;
        }
        return count;
    }
    // Transformed rejection (PTRS of W. Hormann, Insurance: Mathematics and Economics 12 (1993) 39-45).
    let b = 0.931 + 2.53 * sqrt(rate);
    let a = 0.02483 * b - 0.059;
    let scale = 1.1239 + 1.1328 / (b - 3.4);
    let inner = 0.9277 - 3.6224 / (b - 2.0);
    for (var draw = 0u; draw < 64u; draw += 1u) {
        let bits = random_more(i, seed, stream, draw);
        // In the middles of 2^23 cells, so that neither is 0 or 1.
        let u = (f32(bits.x >> 9u) + 0.5) * 1.1920928955078125e-7 - 0.5;
        let v = (f32(bits.y >> 9u) + 0.5) * 1.1920928955078125e-7;
        let us = 0.5 - abs(u);
        let count = floor((2.0 * a / us + b) * u + rate + 0.43);
        if ((us >= 0.07) & (v <= inner)) { return count; }
        if ((count >= 0.0) & ((us >= 0.013) | (v <= us))) {
            if (safe_log(v * scale / (a / (us * us) + b)) <= poisson_log(count, rate)) { return count; }
        }
    }
    return floor(rate);
}
// ln of the probability of a count: -D - ln(2 pi count) / 2 - the rest of Stirling's series, with D = count ln(count / rate) + rate - count, near
// the rate by a series without cancellation (C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000).
fn poisson_log(count: f32, rate: f32) -> f32 {
    if (count < 1.0) { return -rate; }
    let rest = (0.08333333 - 0.0027777778 / (count * count)) / count;
    var deviance = count * safe_log(count / rate) + rate - count;
    let v = (count - rate) / (count + rate);
    if (abs(v) < 0.1) {
        let z = v * v;
        deviance = (count - rate) * v + 2.0 * count * v * z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * 0.11111111)));
    }
    return -deviance - 0.5 * safe_log(TWO_PI * count) - rest;
}
