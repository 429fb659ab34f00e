// Kernel gather
struct Params {
    total: u32,
    inner: u32,
    size: u32,
    len: u32,
    p4: u32,
    p5: u32,
    p6: f32,
    p7: u32,
    p8: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<i32>;
@group(0) @binding(3) var<storage, read_write> b2: array<f32>;
@group(0) @binding(4) var<storage, read_write> index_fault: array<atomic<u32>>;
const WORKGROUP: u32 = 256u;

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
fn square_bwd(x: f32, dy: f32) -> f32 { return 2.0 * dy * x; }

fn load_x(i: u32) -> f32 {
    return b0[i];
}
fn load_index(i: u32) -> i32 {
    let t0 = quotient(i, params.p4);
    return b1[t0];
}
fn store(i: u32, value: f32) {
    let t1 = square_bwd(value, params.p6);
    b2[i] = t1;
}
// Notes the first index that is out of range; reads of what depends on it return it as an error.
fn report_index(index: i32, bound: u32) {
    let slot = 4u * params.p8;
    if (atomicExchange(&index_fault[slot], 1u) == 0u) {
        atomicStore(&index_fault[slot + 1u], params.p7);
        atomicStore(&index_fault[slot + 2u], u32(index));
        atomicStore(&index_fault[slot + 3u], bound);
    }
}
// y[o, j, i] = x[o, index[o, j, i], i], with x seen as [outer, size, inner] and index as [outer, len, inner].
// An index out of range is reported; memory outside x is never read.
//
// Needs of the generator: WORKGROUP, load_index, load_x, params.inner, params.len, params.size, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let i = p % params.inner;
    let o = p / params.inner / params.len;
    let index = i32(load_index(p));
    var k = u32(index);
    if (index < 0 || k >= params.size) {
        report_index(index, params.size);
        if (params.size == 0u) { return; }
        k = 0u;
    }
    store(p, load_x((o * params.size + k) * params.inner + i));
}

// Kernel scatter_add
struct Params {
    total: u32,
    inner: u32,
    size: u32,
    len: u32,
    p4: u32,
    p5: u32,
    p6: u32,
    p7: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<i32>;
@group(0) @binding(3) var<storage, read_write> b2: array<f32>;
@group(0) @binding(4) var<storage, read_write> index_fault: array<atomic<u32>>;
const WORKGROUP: u32 = 256u;

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
fn load_x(i: u32) -> f32 {
    return b0[i];
}
fn load_index(i: u32) -> i32 {
    let t0 = quotient(i, params.p4);
    return b1[t0];
}
fn store(i: u32, value: f32) {
    b2[i] = value;
}
// Notes the first index that is out of range; reads of what depends on it return it as an error.
fn report_index(index: i32, bound: u32) {
    let slot = 4u * params.p7;
    if (atomicExchange(&index_fault[slot], 1u) == 0u) {
        atomicStore(&index_fault[slot + 1u], params.p6);
        atomicStore(&index_fault[slot + 2u], u32(index));
        atomicStore(&index_fault[slot + 3u], bound);
    }
}
// Gives: T
alias T = f32;
// Elements one at a time.
//
// Needs of scan/affine or types/f32 or types/i32 or types/u32: T
// Gives: Part
alias Part = T;
// What is scattered to one place is added up.
//
// Needs of index/part_four or index/part_one: Part
// Gives: both, kept, nothing
fn nothing() -> Part { return Part(); }
fn both(a: Part, b: Part) -> Part { return a + b; }
// What a place gets: the total of what was scattered there.
fn kept(p: u32, total: Part, none: bool) -> Part { return total; }
// y[o, k, i] = what both() makes of x[o, j, i] over the j with index[o, j, i] = k, in ascending j: each invocation owns one element of y, so no
// atomics are needed and the order is fixed. y is [outer, size, inner], x and index are [outer, len, inner], with few j.
// An index out of range is reported once and does nothing.
//
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: both, kept, nothing
// Needs of the generator: WORKGROUP, load_index, load_x, params.inner, params.len, params.size, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let row = quotient(p, params.inner);
    let i = p - row * params.inner;
    let o = quotient(row, params.size);
    let k = row - o * params.size;
    var total = nothing();
    var none = true;
    for (var j = 0u; j < params.len; j += 1u) {
        let q = (o * params.len + j) * params.inner + i;
        let index = i32(load_index(q));
        if (index == i32(k)) {
            total = both(total, load_x(q));
            none = false;
        }
        if (k == 0u && (index < 0 || u32(index) >= params.size)) { report_index(index, params.size); }
    }
    store(p, kept(p, total, none));
}
