// Kernel cross_entropy_backward
struct Params {
    rows: u32,
    parts: u32,
    iterations: u32,
    classes: u32,
    ignores: u32,
    ignore_index: i32,
    smoothing: f32,
    p7: u32,
    p8: f32,
    p9: f32,
    p10: u32,
    p11: u32,
    p12: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<i32>;
@group(0) @binding(3) var<storage, read_write> b2: array<f32>;
@group(0) @binding(4) var<storage, read_write> index_fault: array<atomic<u32>>;
const WORKGROUP: u32 = 128u;
const LANES: u32 = 128u;
const HELD: u32 = 1u;
const HELD_SIZE: u32 = 1u;
const LOG2_E: f32 = 1.44269504088896;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
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
// div(a, b) = a / b
struct DivGrad { da: f32, db: f32 }
fn div_bwd(a: f32, b: f32, dy: f32) -> DivGrad {
    let da = dy / b;
    return DivGrad(da, -da * (a / b));
}

fn load_x(i: u32) -> f32 {
    return b0[i];
}
fn load_t(i: u32) -> i32 {
    return b1[i];
}
fn load_dy(i: u32) -> f32 {
    let t0 = 0u;
    let t1 = div_bwd(0.0, params.p8, params.p9).da;
    return t1;
}
fn store(i: u32, value: f32) {
    b2[i] = value;
}
// Notes the first index that is out of range; reads of what depends on it return it as an error.
fn report_index(index: i32, bound: u32) {
    let slot = 4u * params.p12;
    if (atomicExchange(&index_fault[slot], 1u) == 0u) {
        atomicStore(&index_fault[slot + 1u], params.p11);
        atomicStore(&index_fault[slot + 2u], u32(index));
        atomicStore(&index_fault[slot + 3u], bound);
    }
}
// Parts of one element.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = f32;

fn all_of(value: f32) -> Part { return value; }
fn total(part: Part) -> f32 { return part; }
fn largest_of(part: Part) -> f32 { return part; }
fn exp_of(part: Part) -> Part { return safe_exp(part); }

// The larger one; NaN where one is.
fn larger(a: Part, b: Part) -> Part { return select(a, b, is_nan(b) || b > a); }

// 1 at element i of the row, 0 at all others.
fn one_at(k: u32, i: u32) -> Part { return select(0.0, 1.0, k == i); }
// A row is read in parts (one element, or four neighbours), part k by lane k % LANES. A lane that has HELD parts or fewer holds them in
// registers, so that every element is loaded once however often the kernel walks over the row; with HELD = 0 each walk loads.
//
// Needs of rows/quads or rows/scalars: Part, all_of, total
// Needs of the generator: HELD, params.iterations
// Gives: is_kept, iterations, no_sum, scaled, value_of, with_term

// Turns of a walk over the row.
fn iterations() -> u32 {
    if (HELD > 0u) { return HELD; }
    return params.iterations;
}

fn is_kept() -> bool { return HELD > 0u; }

// A sum over a lane's parts of a row. Of long rows 32 terms are added up before they join a total, and as many of these before they join
// the next, so that rounding errors hardly grow with the row.
struct Sum {
    all: Part,
    blocks: Part,
    block: Part,
}

fn no_sum() -> Sum { return Sum(all_of(0.0), all_of(0.0), all_of(0.0)); }

// The sum with the term x of turn h.
fn with_term(sum: Sum, h: u32, x: Part) -> Sum {
    var next = sum;
    next.block += x;
    if (!is_kept() && h % 32u == 31u) {
        next.blocks += next.block;
        next.block = all_of(0.0);
        if (h % 1024u == 1023u) {
            next.all += next.blocks;
            next.blocks = all_of(0.0);
        }
    }
    return next;
}

fn scaled(sum: Sum, factor: f32) -> Sum { return Sum(sum.all * factor, sum.blocks * factor, sum.block * factor); }

fn value_of(sum: Sum) -> f32 { return total(sum.all + (sum.blocks + sum.block)); }
// A row is worked on by one workgroup: its invocations take every LANES-th part and combine what they found by a tree in
// workgroup memory, always in the same order.
//
// Needs of cross_entropy/backward or cross_entropy/forward or norm/backward or norm/forward or norm/parameters_backward or norm/row_statistics or softmax/backward or softmax/forward or software/conv/product or software/conv/weight_product:
//     run
// Needs of the generator: WORKGROUP, params.rows
// Gives: lanes_max, lanes_sum, partial
var<workgroup> partial: array<f32, WORKGROUP>;

fn lanes_max(value: f32, lane: u32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
            let other = partial[lane + half];
            if (is_nan(other) || other > partial[lane]) { partial[lane] = other; }
        }
        workgroupBarrier();
    }
    let result = partial[0];
    workgroupBarrier();
    return result;
}

fn lanes_sum(value: f32, lane: u32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    let result = partial[0];
    workgroupBarrier();
    return result;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_index(group, groups);
    if (row >= params.rows) { return; }
    run(row, local);
}
// What forward and backward need of a row of logits: its largest element m, sum e^(x - m), and sum (x - middle). Rows that are held are
// walked over twice, others once: a larger element that comes along rescales what has been summed so far (online softmax: Milakov &
// Gimelshein 2018, "Online normalizer calculation for softmax").
//
// Needs of rows/parts: is_kept, iterations, no_sum, scaled, value_of, with_term
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of, larger, largest_of
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_max, lanes_sum
// Needs of the generator: HELD_SIZE, LANES, load_x, params.parts, params.smoothing
// Gives: held, statistics
struct Statistics {
    largest: f32,
    sum_exp: f32,
    middle: f32,
    sum_off: f32,
}

// The lane's parts of e^(x - m), where they are held.
var<private> held: array<Part, HELD_SIZE>;

fn held_statistics(first: u32, lane: u32) -> Statistics {
    var top = all_of(-infinity());
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k);
            held[h] = x;
            top = larger(top, x);
        }
    }
    let largest = lanes_max(largest_of(top), lane);
    var exps = no_sum();
    var offs = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let off = held[h] - largest;
            held[h] = exp_of(off);
            exps = with_term(exps, h, held[h]);
            offs = with_term(offs, h, off);
        }
    }
    return Statistics(largest, lanes_sum(value_of(exps), lane), largest, lanes_sum(value_of(offs), lane));
}

fn walked_statistics(first: u32, lane: u32) -> Statistics {
    // Some element of the row, so that rows far from 0 lose nothing.
    let start = largest_of(load_x(first));
    let middle = select(0.0, start, is_finite(start));
    var largest = -3.4028234e38;
    var exps = no_sum();
    var offs = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k);
            let top = largest_of(x);
            if (is_nan(top) || top > largest) {
                exps = scaled(exps, safe_exp(largest - top));
                largest = top;
            }
            exps = with_term(exps, h, exp_of(x - largest));
            if (params.smoothing != 0.0) { offs = with_term(offs, h, x - middle); }
        }
    }
    let all = lanes_max(largest, lane);
    let sum_exp = lanes_sum(value_of(exps) * safe_exp(largest - all), lane);
    return Statistics(all, sum_exp, middle, lanes_sum(value_of(offs), lane));
}

fn statistics(first: u32, lane: u32) -> Statistics {
    if (is_kept()) { return held_statistics(first, lane); }
    return walked_statistics(first, lane);
}
// Gradient of cross-entropy with respect to the logits:
//   dx[k] = dy (softmax(x)[k] - (1 - s) [k = t] - s / classes),      0 in ignored rows.
//
// Needs of cross_entropy/statistics: held, statistics
// Needs of rows/parts: is_kept, iterations
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of, one_at
// Needs of the generator: LANES, load_dy, load_t, load_x, params.classes, params.ignore_index, params.ignores, params.parts,
//     params.smoothing, report_index, store
// Gives: run
fn run(row: u32, lane: u32) {
    let first = row * params.parts;
    let target_class = i32(load_t(row));
    let ignored = params.ignores == 1u && target_class == params.ignore_index;
    let valid = target_class >= 0 && u32(target_class) < params.classes;
    if (lane == 0u && !ignored && !valid) { report_index(target_class, params.classes); }
    let s = statistics(first, lane);
    let dy = load_dy(row);
    let uniform_part = params.smoothing / f32(params.classes);
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var e: Part;
            if (is_kept()) { e = held[h]; } else { e = exp_of(load_x(first + k) - s.largest); }
            let wanted = one_at(k, u32(target_class)) * (1.0 - params.smoothing) + uniform_part;
            let dx = dy * (e / s.sum_exp - wanted);
            if (ignored) { store(first + k, all_of(0.0)); } else { store(first + k, dx); }
        }
    }
}
