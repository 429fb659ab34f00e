// Kernel mul
struct Params {
    numel: u32,
    quads: u32,
    p2: f32,
    p3: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;
const LOG2_E: f32 = 1.44269504088896;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// n / d rounded down, for n and d below 2^31 and d > 0. By floats: software adapters divide integers lane by lane, and GPUs divide them
// by such steps as well. The reciprocal is a little too small, so that no estimate is too large; after the second one at most one d is
// left over.
fn quotient(n: u32, d: u32) -> u32 {
    let part = 0.99999 / f32(i32(d));
    let first = u32(i32(f32(i32(n)) * part));
    let rest = n - first * d;
    let second = u32(i32(f32(i32(rest)) * part));
    return first + second + select(0u, 1u, rest - second * d >= d);
}

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// 2^k for -126 <= k <= 127.
fn power_of_two(k: i32) -> f32 {
    return bitcast<f32>(u32(k + 127) << 23u);
}

// e^x: 0 below -103.98, infinity above 88.7228, NaN for NaN. Without branches, which lanes side by side would all take.
fn safe_exp(x: f32) -> f32 {
    let inside = clamp(x, -103.98, 88.72284);
    let k = floor(inside * LOG2_E + 0.5);
    let r = (inside - k * 0.693359375) + k * 2.12194440e-4;
    let p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r
        + 1.6666665459e-1) * r + 5.0000001201e-1;
    // Two steps, since 2^k itself may overflow or be subnormal.
    let half = i32(k) / 2;
    let y = ((p * r * r + r) + 1.0) * power_of_two(half) * power_of_two(i32(k) - half);
    let bounded = select(select(y, 0.0, x < -103.98), infinity(), x > 88.72284);
    return select(bounded, x, is_nan(x));
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
fn quad_b1(i: u32) -> vec4<f32> {
    return vec4<f32>(b1[i]);
}
// exp(x) = e^x
fn exp_fwd(x: f32) -> f32 { return safe_exp(x); }
fn add_fwd(a: f32, b: f32) -> f32 { return a + b; }
fn mul_fwd(a: f32, b: f32) -> f32 { return a * b; }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 256u + lane;
    if (thread >= params.quads) { return; }
    let t0 = quad_b0(thread);
    let t1 = vec4<f32>(exp_fwd(t0.x), exp_fwd(t0.y), exp_fwd(t0.z), exp_fwd(t0.w));
    let t2 = vec4<f32>(add_fwd(t1.x, params.p2), add_fwd(t1.y, params.p2), add_fwd(t1.z, params.p2), add_fwd(t1.w, params.p2));
    let t3 = thread * 4u;
    let t4 = quotient(t3, params.p3);
    let t5 = quad_b1(((t3 - t4 * params.p3)) / 4u);
    let t6 = vec4<f32>(mul_fwd(t2.x, t5.x), mul_fwd(t2.y, t5.y), mul_fwd(t2.z, t5.z), mul_fwd(t2.w, t5.w));
    b2[thread] = t6;
}
