// Kernel sum_partial
struct Params {
    threads: u32,
    p1: u32,
    p2: u32,
    p3: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<f32>;

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
// How reductions combine two values. NaN wins in max and min, as in IEEE 754-2019 maximum and minimum.

fn combine_sum_f32(a: f32, b: f32) -> f32 { return a + b; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 64u + lane;
    if (thread >= params.threads) { return; }
    let output = thread / params.p1;
    let chunk = thread - output * params.p1;
    var acc: vec4<f32> = vec4<f32>(f32(0));
    let t2 = params.p3;
    let t3 = params.p2;
    let block = chunk / 1u * t2;
    let begin = block + chunk % 1u;
    let end = min(block + t2, t3);
    let stride = 1u;
    for (var first_2 = begin; first_2 < end; first_2 += stride * 256u) {
    let end_2 = min(end, first_2 + stride * 256u);
    var acc_2: vec4<f32> = vec4<f32>(f32(0));
    for (var first_1 = first_2; first_1 < end_2; first_1 += stride * 16u) {
    let end_1 = min(end_2, first_1 + stride * 16u);
    var acc_1: vec4<f32> = vec4<f32>(f32(0));
    for (var r = first_1; r < end_1; r += stride) {
    let t0 = r * 4u;
    let t1 = quad_b0((t0) / 4u);
    let four = t1;
    acc_1 = vec4<f32>(combine_sum_f32(acc_1.x, four.x), combine_sum_f32(acc_1.y, four.y), combine_sum_f32(acc_1.z, four.z), combine_sum_f32(acc_1.w, four.w));
    }
    acc_2 = acc_2 + acc_1;
    }
    acc = acc + acc_2;
    }
    let result = combine_sum_f32(combine_sum_f32(acc.x, acc.y), combine_sum_f32(acc.z, acc.w));
    b1[thread] = result;
}

// Kernel sum
struct Params {
    threads: u32,
    p1: u32,
    p2: u32,
    p3: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read_write> b1: array<f32>;

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
// How reductions combine two values. NaN wins in max and min, as in IEEE 754-2019 maximum and minimum.

fn combine_sum_f32(a: f32, b: f32) -> f32 { return a + b; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 64u + lane;
    if (thread >= params.threads) { return; }
    let output = thread;
    let chunk = 0u;
    var acc: f32 = f32(f32(0));
    let t1 = params.p3;
    let t2 = params.p2;
    let block = chunk / 1u * t1;
    let begin = block + chunk % 1u;
    let end = min(block + t1, t2);
    let stride = 1u;
    for (var first_2 = begin; first_2 < end; first_2 += stride * 256u) {
    let end_2 = min(end, first_2 + stride * 256u);
    var acc_2: f32 = f32(f32(0));
    for (var first_1 = first_2; first_1 < end_2; first_1 += stride * 16u) {
    let end_1 = min(end_2, first_1 + stride * 16u);
    var acc_1: f32 = f32(f32(0));
    for (var r = first_1; r < end_1; r += stride) {
    let t0 = b0[output * t2 + r];
    acc_1 = combine_sum_f32(acc_1, t0);
    }
    acc_2 = acc_2 + acc_1;
    }
    acc = acc + acc_2;
    }
    let result = acc;
    b1[output] = result;
}
