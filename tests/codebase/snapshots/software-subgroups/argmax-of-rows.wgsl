// Kernel argmax
struct Params {
    threads: u32,
    p1: u32,
    p2: u32,
    p3: u32,
    p4: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read_write> b1: array<u32>;

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// Whether (value a, index i) beats (value b, index j): larger value, NaN above all, the smaller index among equals.
fn beats_max_f32(a: f32, i: u32, b: f32, j: u32) -> bool {
    if (is_nan(a) != is_nan(b)) { return is_nan(a); }
    if (is_nan(a) || a == b) { return i < j; }
    return a > b;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 64u + lane;
    if (thread >= params.threads) { return; }
    let output = thread;
    let chunk = 0u;
    var acc: f32 = f32(f32(0));
    var acc_index: u32 = 0u;
    let t1 = params.p3;
    let t2 = params.p2;
    let t3 = params.p4;
    let block = chunk / 1u * t1;
    let begin = block + chunk % 1u;
    let end = min(block + t1, t2);
    let stride = 1u;
    for (var r = begin; r < end; r += stride) {
    let t0 = b0[output * t3 + r];
    if (r == begin || beats_max_f32(t0, r, acc, acc_index)) { acc = t0; acc_index = r; }
    }
    let result = acc;
    b1[output] = acc_index;
}
