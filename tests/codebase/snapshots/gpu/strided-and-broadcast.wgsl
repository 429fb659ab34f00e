// Kernel add
struct Params {
    numel: u32,
    quads: u32,
    p2: u32,
    p3: u32,
    p4: u32,
    p5: u32,
    p6: u32,
    p7: u32,
    p8: u32,
    p9: u32,
    p10: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<f32>;
@group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;

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

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn add_fwd(a: f32, b: f32) -> f32 { return a + b; }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 256u + lane;
    if (thread >= params.quads) { return; }
    let t0 = min(thread * 4u + 0u, params.numel - 1u);
    let t1 = quotient(t0, params.p2);
    let t2 = min(thread * 4u + 1u, params.numel - 1u);
    let t3 = quotient(t2, params.p4);
    let t4 = min(thread * 4u + 2u, params.numel - 1u);
    let t5 = quotient(t4, params.p6);
    let t6 = min(thread * 4u + 3u, params.numel - 1u);
    let t7 = quotient(t6, params.p8);
    let t8 = vec4<f32>(b0[(t0 - t1 * params.p2) * params.p3 + t1], b0[(t2 - t3 * params.p4) * params.p5 + t3], b0[(t4 - t5 * params.p6) * params.p7 + t5], b0[(t6 - t7 * params.p8) * params.p9 + t7]);
    let t9 = thread * 4u;
    let t10 = quotient(t9, params.p10);
    let t11 = b1[t10];
    let t12 = vec4<f32>(add_fwd(t8.x, t11), add_fwd(t8.y, t11), add_fwd(t8.z, t11), add_fwd(t8.w, t11));
    b2[thread] = t12;
}
