// Kernel softmax
struct Params {
    rows: u32,
    parts: u32,
    iterations: u32,
    inner: u32,
    p4: u32,
    p5: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;
const WORKGROUP: u32 = 128u;
const LANES: u32 = 128u;
const HELD: u32 = 1u;
const HELD_SIZE: u32 = 1u;
const LOG: u32 = 0u;
const LOG2_E: f32 = 1.44269504088896;
const SQRT_HALF: f32 = 0.707106781186548;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn not_a_number() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
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

// Natural logarithm: -infinity at 0, NaN below.
fn safe_log(x: f32) -> f32 {
    if is_nan(x) || x < 0.0 {
        return not_a_number();
    }
    if x == 0.0 {
        return -infinity();
    }
    if is_inf(x) {
        return x;
    }
    let tiny = x < 1.17549435e-38;
    let bits = bitcast<u32>(select(x, x * 8388608.0, tiny));
    var e = f32(i32(bits >> 23u) - 126 - select(0, 23, tiny));
    var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
    if m < SQRT_HALF {
        e -= 1.0;
        m += m;
    }
    m -= 1.0;
    let z = m * m;
    var p = (((7.0376836292e-2 * m - 1.1514610310e-1) * m + 1.1676998740e-1) * m - 1.2420140846e-1) * m + 1.4249322787e-1;
    p = (((p * m - 1.6668057665e-1) * m + 2.0000714765e-1) * m - 2.4999993993e-1) * m + 3.3333331174e-1;
    let y = p * m * z - 2.12194440e-4 * e - 0.5 * z;
    return (m + y) + 0.693359375 * e;
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
fn load_x(i: u32) -> vec4<f32> {
    let t0 = quad_b0(i);
    return t0;
}
fn store(i: u32, value: vec4<f32>) {
    b1[i] = value;
}
// Parts of four neighbours.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = vec4<f32>;

fn all_of(value: f32) -> Part { return vec4<f32>(value); }
fn total(part: Part) -> f32 { return (part.x + part.y) + (part.z + part.w); }
fn exp_of(part: Part) -> Part {
    return vec4<f32>(safe_exp(part.x), safe_exp(part.y), safe_exp(part.z), safe_exp(part.w));
}

fn larger_one(a: f32, b: f32) -> f32 { return select(a, b, is_nan(b) || b > a); }
fn largest_of(part: Part) -> f32 { return larger_one(larger_one(part.x, part.y), larger_one(part.z, part.w)); }

// The larger ones; NaN where one is.
fn larger(a: Part, b: Part) -> Part {
    return vec4<f32>(larger_one(a.x, b.x), larger_one(a.y, b.y), larger_one(a.z, b.z), larger_one(a.w, b.w));
}
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

fn value_of(sum: Sum) -> f32 { return total(sum.all + (sum.blocks + sum.block)); }
// A row is worked on by one workgroup whose adapter has subgroups, of whatever size the kernel finds: each subgroup combines in registers what its
// lanes found, and workgroup memory combines the subgroups. That takes two barriers where a tree takes one per level.
//
// Needs of cross_entropy/backward or cross_entropy/forward or norm/backward or norm/forward or norm/parameters_backward or norm/row_statistics or softmax/backward or softmax/forward or software/conv/product or software/conv/weight_product:
//     run
// Needs of the generator: WORKGROUP, params.rows
// Gives: lanes_max, lanes_sum, partial, position
var<workgroup> partial: array<f32, WORKGROUP>;

struct Position {
    subgroup: u32,
    lane: u32,
    subgroups: u32,
}
var<private> position: Position;

// subgroupMax need not see NaN.
fn lanes_max(value: f32, lane: u32) -> f32 {
    let own = select(subgroupMax(value), not_a_number(), subgroupAny(is_nan(value)));
    if (position.lane == 0u) { partial[position.subgroup] = own; }
    workgroupBarrier();
    var result = partial[0];
    for (var i = 1u; i < position.subgroups; i++) {
        let other = partial[i];
        if (is_nan(other) || other > result) { result = other; }
    }
    workgroupBarrier();
    return result;
}

// The order in which the lanes of a subgroup are added is the driver's choice, and the same at each run.
fn lanes_sum(value: f32, lane: u32) -> f32 {
    let own = subgroupAdd(value);
    if (position.lane == 0u) { partial[position.subgroup] = own; }
    workgroupBarrier();
    var result = partial[0];
    for (var i = 1u; i < position.subgroups; i++) { result += partial[i]; }
    workgroupBarrier();
    return result;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let row = workgroup_index(group, groups);
    if (row >= params.rows) { return; }
    position = Position(subgroup, lane, subgroups);
    run(row, local);
}
// Softmax or log-softmax along one dim of x seen as [outer, size, inner]; a row is one (outer, inner):
//   m = max x,   s = sum e^(x - m),   y = e^(x - m) / s   or   y = x - m - ln s.
// The maximum is subtracted so that nothing overflows (Goodfellow, Bengio & Courville 2016, section 4.1).
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of, larger, largest_of
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_max, lanes_sum
// Needs of the generator: HELD_SIZE, LANES, LOG, load_x, params.inner, params.parts, store
// Gives: run
fn run(row: u32, lane: u32) {
    let first = (row / params.inner) * params.parts * params.inner + row % params.inner;
    var held: array<Part, HELD_SIZE>;

    var top = all_of(-infinity());
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k * params.inner);
            if (is_kept()) { held[h] = x; }
            top = larger(top, x);
        }
    }
    let largest = all_of(lanes_max(largest_of(top), lane));

    var sums = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var x: Part;
            if (is_kept()) { x = held[h]; } else { x = load_x(first + k * params.inner); }
            let e = exp_of(x - largest);
            // A log-softmax needs x once more.
            if (is_kept() && LOG == 0u) { held[h] = e; }
            sums = with_term(sums, h, e);
        }
    }
    let sum = lanes_sum(value_of(sums), lane);

    let log_sum = all_of(safe_log(sum));
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = first + k * params.inner;
            var x: Part;
            if (is_kept()) { x = held[h]; } else { x = load_x(i); }
            if (LOG == 1u) {
                store(i, x - largest - log_sum);
            } else if (is_kept()) {
                store(i, x / sum);
            } else {
                store(i, exp_of(x - largest) / sum);
            }
        }
    }
}
