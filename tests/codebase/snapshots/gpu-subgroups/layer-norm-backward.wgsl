// Kernel layer_norm
struct Params {
    rows: u32,
    parts: u32,
    iterations: u32,
    all_rows: u32,
    chunk: u32,
    inner: u32,
    size: u32,
    eps: f32,
    p8: u32,
    p9: u32,
    p10: u32,
    p11: u32,
    p12: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const WORKGROUP: u32 = 128u;
const LANES: u32 = 128u;
const HELD: u32 = 1u;
const HELD_SIZE: u32 = 1u;
const RMS: u32 = 0u;
const WHOLE: u32 = 1u;

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
fn quad_b2(i: u32) -> vec4<f32> {
    return vec4<f32>(b2[i]);
}
fn square_bwd(x: f32, dy: f32) -> f32 { return 2.0 * dy * x; }

fn load_x(i: u32) -> vec4<f32> {
    let t0 = quad_b0(i);
    return t0;
}
fn load_weight(i: u32) -> vec4<f32> {
    let t1 = quad_b1(i);
    return t1;
}
fn load_bias(i: u32) -> vec4<f32> {
    let t2 = quad_b2(i);
    return t2;
}
fn store(i: u32, value: vec4<f32>) {
    let t3 = vec4<f32>(square_bwd(value.x, params.p12), square_bwd(value.y, params.p12), square_bwd(value.z, params.p12), square_bwd(value.w, params.p12));
    b3[i] = t3;
}
// Parts of four neighbours.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = vec4<f32>;

fn all_of(value: f32) -> Part { return vec4<f32>(value); }
fn total(part: Part) -> f32 { return (part.x + part.y) + (part.z + part.w); }
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
// What a row is normalised by: y = ((x - shift) - rest) * scale.
//
// x is seen as [outer, rows, inner]; a row is the n = outer * inner elements of one r. shift is the mean as f32 rounds
// it, and rest is the mean of x - shift, which the rounding left over: the corrected two-pass algorithm (Chan, Golub &
// LeVeque 1983, "Algorithms for computing the sample variance"). Data far from zero lose nothing that way.
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, RMS, WHOLE, load_x, params.eps, params.inner, params.parts, params.rows, params.size
// Gives: held, normalized, part_of_x, place, statistics
struct Statistics {
    shift: f32,
    rest: f32,
    scale: f32,
}

// The lane's parts of the row, where they are held.
var<private> held: array<Part, HELD_SIZE>;

// Place of part k of a row; `inner` counts parts.
fn place(row: u32, k: u32) -> u32 {
    if (WHOLE == 1u) { return row * params.parts + k; }
    return (k / params.inner * params.rows + row) * params.inner + k % params.inner;
}

// Part k = h * LANES + lane of the row.
fn part_of_x(row: u32, h: u32, k: u32) -> Part {
    if (is_kept()) { return held[h]; }
    return load_x(place(row, k));
}

fn statistics(row: u32, lane: u32) -> Statistics {
    let n = f32(params.size);
    var sums = no_sum();
    if (RMS == 0u || is_kept()) {
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) {
                let x = load_x(place(row, k));
                if (is_kept()) { held[h] = x; }
                sums = with_term(sums, h, x);
            }
        }
    }
    var shift = 0.0;
    if (RMS == 0u) { shift = lanes_sum(value_of(sums), lane) / n; }
    var off = no_sum();
    var squares = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = part_of_x(row, h, k) - shift;
            off = with_term(off, h, x);
            squares = with_term(squares, h, x * x);
        }
    }
    var variance = lanes_sum(value_of(squares), lane) / n;
    var rest = 0.0;
    if (RMS == 0u) {
        rest = lanes_sum(value_of(off), lane) / n;
        variance -= rest * rest;
        // Rounding can carry it below 0 where all elements are equal. NaN stays NaN.
        if (variance < 0.0) { variance = 0.0; }
    }
    return Statistics(shift, rest, 1.0 / sqrt(variance + params.eps));
}

fn normalized(x: Part, s: Statistics) -> Part {
    return ((x - s.shift) - s.rest) * s.scale;
}
// A weight and a bias for each element of a row.
//
// Needs of rows/parts: is_kept, iterations
// Needs of rows/quads or rows/scalars: Part
// Needs of the generator: HELD_SIZE, LANES, load_bias, load_weight, params.parts
// Gives: affine, hold_parameters, weights
var<private> weights: array<Part, HELD_SIZE>;
var<private> biases: array<Part, HELD_SIZE>;

// Loads the lane's parts once for all rows that it takes part in.
fn hold_parameters(lane: u32) {
    if (!is_kept()) { return; }
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            weights[h] = load_weight(k);
            biases[h] = load_bias(k);
        }
    }
}

fn affine(y: Part, h: u32, k: u32) -> Part {
    if (is_kept()) { return y * weights[h] + biases[h]; }
    return y * load_weight(k) + load_bias(k);
}
// Normalises each row of n elements (statistics.wgsl says what a row is), then scales and shifts it (parameters_*.wgsl):
//   layer:  y = (x - mean) / sqrt(var + eps),   mean = sum x / n,   var = sum (x - mean)^2 / n
//   rms:    y = x / sqrt(sum x^2 / n + eps)
// Layer norm (Ba, Kiros & Hinton 2016), group norm (Wu & He 2018) and batch norm (Ioffe & Szegedy 2015) differ in what
// a row is; RMS norm is Zhang & Sennrich 2019.
//
// Needs of norm/parameters_both or norm/parameters_none or norm/parameters_weight: affine, hold_parameters
// Needs of norm/statistics: normalized, part_of_x, place, statistics
// Needs of rows/parts: iterations
// Needs of the generator: LANES, params.all_rows, params.chunk, params.parts, store
// Gives: run
fn run(chunk: u32, lane: u32) {
    hold_parameters(lane);
    for (var r = 0u; r < params.chunk; r++) {
        let row = chunk * params.chunk + r;
        if (row >= params.all_rows) { break; }
        let s = statistics(row, lane);
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) { store(place(row, k), affine(normalized(part_of_x(row, h, k), s), h, k)); }
        }
    }
}

// Kernel layer_norm
struct Params {
    rows: u32,
    parts: u32,
    iterations: u32,
    all_rows: u32,
    chunk: u32,
    inner: u32,
    size: u32,
    eps: f32,
    p8: u32,
    p9: u32,
    p10: u32,
    p11: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const WORKGROUP: u32 = 128u;
const LANES: u32 = 128u;
const HELD: u32 = 1u;
const HELD_SIZE: u32 = 1u;
const RMS: u32 = 0u;
const WHOLE: u32 = 1u;

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
fn quad_b2(i: u32) -> vec4<f32> {
    return vec4<f32>(b2[i]);
}
fn load_x(i: u32) -> vec4<f32> {
    let t0 = quad_b0(i);
    return t0;
}
fn load_dy(i: u32) -> vec4<f32> {
    let t1 = quad_b1(i);
    return t1;
}
fn load_weight(i: u32) -> vec4<f32> {
    let t2 = quad_b2(i);
    return t2;
}
fn store(i: u32, value: vec4<f32>) {
    b3[i] = value;
}
// Parts of four neighbours.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = vec4<f32>;

fn all_of(value: f32) -> Part { return vec4<f32>(value); }
fn total(part: Part) -> f32 { return (part.x + part.y) + (part.z + part.w); }
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
// What a row is normalised by: y = ((x - shift) - rest) * scale.
//
// x is seen as [outer, rows, inner]; a row is the n = outer * inner elements of one r. shift is the mean as f32 rounds
// it, and rest is the mean of x - shift, which the rounding left over: the corrected two-pass algorithm (Chan, Golub &
// LeVeque 1983, "Algorithms for computing the sample variance"). Data far from zero lose nothing that way.
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, RMS, WHOLE, load_x, params.eps, params.inner, params.parts, params.rows, params.size
// Gives: held, normalized, part_of_x, place, statistics
struct Statistics {
    shift: f32,
    rest: f32,
    scale: f32,
}

// The lane's parts of the row, where they are held.
var<private> held: array<Part, HELD_SIZE>;

// Place of part k of a row; `inner` counts parts.
fn place(row: u32, k: u32) -> u32 {
    if (WHOLE == 1u) { return row * params.parts + k; }
    return (k / params.inner * params.rows + row) * params.inner + k % params.inner;
}

// Part k = h * LANES + lane of the row.
fn part_of_x(row: u32, h: u32, k: u32) -> Part {
    if (is_kept()) { return held[h]; }
    return load_x(place(row, k));
}

fn statistics(row: u32, lane: u32) -> Statistics {
    let n = f32(params.size);
    var sums = no_sum();
    if (RMS == 0u || is_kept()) {
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) {
                let x = load_x(place(row, k));
                if (is_kept()) { held[h] = x; }
                sums = with_term(sums, h, x);
            }
        }
    }
    var shift = 0.0;
    if (RMS == 0u) { shift = lanes_sum(value_of(sums), lane) / n; }
    var off = no_sum();
    var squares = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = part_of_x(row, h, k) - shift;
            off = with_term(off, h, x);
            squares = with_term(squares, h, x * x);
        }
    }
    var variance = lanes_sum(value_of(squares), lane) / n;
    var rest = 0.0;
    if (RMS == 0u) {
        rest = lanes_sum(value_of(off), lane) / n;
        variance -= rest * rest;
        // Rounding can carry it below 0 where all elements are equal. NaN stays NaN.
        if (variance < 0.0) { variance = 0.0; }
    }
    return Statistics(shift, rest, 1.0 / sqrt(variance + params.eps));
}

fn normalized(x: Part, s: Statistics) -> Part {
    return ((x - s.shift) - s.rest) * s.scale;
}
// A weight for each element of a row.
//
// Needs of rows/parts: is_kept, iterations
// Needs of rows/quads or rows/scalars: Part
// Needs of the generator: HELD_SIZE, LANES, load_weight, params.parts
// Gives: affine, hold_parameters, scaled, weights
var<private> weights: array<Part, HELD_SIZE>;

// Loads the lane's parts once for all rows that it takes part in.
fn hold_parameters(lane: u32) {
    if (!is_kept()) { return; }
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) { weights[h] = load_weight(k); }
    }
}

fn scaled(y: Part, h: u32, k: u32) -> Part {
    if (is_kept()) { return y * weights[h]; }
    return y * load_weight(k);
}
// Gradient of forward.wgsl with respect to x, from x and the gradient of the result; y, the normalised row, is computed again, and dy is
// that gradient times the weight:
//   layer:  dx = (dy - sum dy / n - y sum (dy y) / n) / sqrt(var + eps)
//   rms:    dx = (dy - y sum (dy y) / n) / sqrt(sum x^2 / n + eps)
//
// Needs of norm/parameters_both or norm/parameters_none or norm/parameters_weight: hold_parameters
// Needs of norm/parameters_none or norm/parameters_weight: scaled
// Needs of norm/statistics: normalized, part_of_x, place, statistics
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, RMS, load_dy, params.all_rows, params.chunk, params.parts, params.size, store
// Gives: run
fn run(chunk: u32, lane: u32) {
    hold_parameters(lane);
    for (var r = 0u; r < params.chunk; r++) {
        let row = chunk * params.chunk + r;
        if (row >= params.all_rows) { break; }
        row_gradient(row, lane);
    }
}

fn row_gradient(row: u32, lane: u32) {
    let s = statistics(row, lane);
    let n = f32(params.size);
    var held_dy: array<Part, HELD_SIZE>;

    var sums = no_sum();
    var products = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let dy = scaled(load_dy(place(row, k)), h, k);
            if (is_kept()) { held_dy[h] = dy; }
            sums = with_term(sums, h, dy);
            products = with_term(products, h, dy * normalized(part_of_x(row, h, k), s));
        }
    }
    let along = lanes_sum(value_of(products), lane) / n;
    var mean = 0.0;
    if (RMS == 0u) { mean = lanes_sum(value_of(sums), lane) / n; }

    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = place(row, k);
            var dy: Part;
            if (is_kept()) { dy = held_dy[h]; } else { dy = scaled(load_dy(i), h, k); }
            store(i, s.scale * (dy - mean - normalized(part_of_x(row, h, k), s) * along));
        }
    }
}

// Kernel layer_norm
struct Params {
    parts: u32,
    iterations: u32,
    all_rows: u32,
    chunk: u32,
    inner: u32,
    size: u32,
    eps: f32,
    rows: u32,
    p8: u32,
    p9: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;
const WORKGROUP: u32 = 128u;
const LANES: u32 = 128u;
const HELD: u32 = 1u;
const HELD_SIZE: u32 = 1u;
const RMS: u32 = 0u;
const WHOLE: u32 = 1u;

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
fn load_x(i: u32) -> vec4<f32> {
    let t0 = quad_b0(i);
    return t0;
}
fn load_dy(i: u32) -> vec4<f32> {
    let t1 = quad_b1(i);
    return t1;
}
fn store_sums(i: u32, value: vec4<f32>) {
    b2[i] = value;
}
// Parts of four neighbours.
//
// Gives: Part, all_of, exp_of, larger, largest_of, one_at, total
alias Part = vec4<f32>;

fn all_of(value: f32) -> Part { return vec4<f32>(value); }
fn total(part: Part) -> f32 { return (part.x + part.y) + (part.z + part.w); }
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
// What a row is normalised by: y = ((x - shift) - rest) * scale.
//
// x is seen as [outer, rows, inner]; a row is the n = outer * inner elements of one r. shift is the mean as f32 rounds
// it, and rest is the mean of x - shift, which the rounding left over: the corrected two-pass algorithm (Chan, Golub &
// LeVeque 1983, "Algorithms for computing the sample variance"). Data far from zero lose nothing that way.
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, RMS, WHOLE, load_x, params.eps, params.inner, params.parts, params.rows, params.size
// Gives: held, normalized, part_of_x, place, statistics
struct Statistics {
    shift: f32,
    rest: f32,
    scale: f32,
}

// The lane's parts of the row, where they are held.
var<private> held: array<Part, HELD_SIZE>;

// Place of part k of a row; `inner` counts parts.
fn place(row: u32, k: u32) -> u32 {
    if (WHOLE == 1u) { return row * params.parts + k; }
    return (k / params.inner * params.rows + row) * params.inner + k % params.inner;
}

// Part k = h * LANES + lane of the row.
fn part_of_x(row: u32, h: u32, k: u32) -> Part {
    if (is_kept()) { return held[h]; }
    return load_x(place(row, k));
}

fn statistics(row: u32, lane: u32) -> Statistics {
    let n = f32(params.size);
    var sums = no_sum();
    if (RMS == 0u || is_kept()) {
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) {
                let x = load_x(place(row, k));
                if (is_kept()) { held[h] = x; }
                sums = with_term(sums, h, x);
            }
        }
    }
    var shift = 0.0;
    if (RMS == 0u) { shift = lanes_sum(value_of(sums), lane) / n; }
    var off = no_sum();
    var squares = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = part_of_x(row, h, k) - shift;
            off = with_term(off, h, x);
            squares = with_term(squares, h, x * x);
        }
    }
    var variance = lanes_sum(value_of(squares), lane) / n;
    var rest = 0.0;
    if (RMS == 0u) {
        rest = lanes_sum(value_of(off), lane) / n;
        variance -= rest * rest;
        // Rounding can carry it below 0 where all elements are equal. NaN stays NaN.
        if (variance < 0.0) { variance = 0.0; }
    }
    return Statistics(shift, rest, 1.0 / sqrt(variance + params.eps));
}

fn normalized(x: Part, s: Statistics) -> Part {
    return ((x - s.shift) - s.rest) * s.scale;
}
// Needs of rows/quads or rows/scalars: Part
// Needs of the generator: store_sums
// Gives: finish
fn finish(p: u32, sum: Part) { store_sums(p, sum); }
// Gradients of weight and bias in one walk over x and the gradient dy of the result, y being the normalised rows:
//   dweight[k] = sum over rows of dy[k] y[k],   dbias[k] = sum over rows of dy[k].
// The lanes that share a row take a chunk of rows and hold the sums of their parts; where there are several chunks, a stage adds them up.
//
// Needs of norm/statistics: normalized, part_of_x, place, statistics
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of rows/parts: iterations
// Needs of rows/quads or rows/scalars: Part, all_of
// Needs of the generator: HELD_SIZE, LANES, load_dy, params.all_rows, params.chunk, params.parts
// Gives: run
fn run(chunk: u32, lane: u32) {
    var weights: array<Part, HELD_SIZE>;
    var biases: array<Part, HELD_SIZE>;
    for (var h = 0u; h < iterations(); h++) {
        weights[h] = all_of(0.0);
        biases[h] = all_of(0.0);
    }
    for (var r = 0u; r < params.chunk; r++) {
        let row = chunk * params.chunk + r;
        if (row >= params.all_rows) { break; }
        let s = statistics(row, lane);
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) {
                let dy = load_dy(place(row, k));
                weights[h] += dy * normalized(part_of_x(row, h, k), s);
                biases[h] += dy;
            }
        }
    }
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            finish(chunk * 2u * params.parts + k, weights[h]);
            finish((chunk * 2u + 1u) * params.parts + k, biases[h]);
        }
    }
}

// Kernel layer_norm
struct Params {
    count: u32,
    splits: u32,
    p2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partial: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;
const WORKGROUP: u32 = 256u;

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_partial(i: u32) -> vec4<f32> {
    return vec4<f32>(partial[i]);
}
fn store(i: u32, value: vec4<f32>) {
    b1[i] = value;
}
// Partial sums, four neighbours at a time.
//
// Needs of the generator: quad_partial
// Gives: partial_at
fn partial_at(i: u32) -> vec4<f32> { return quad_partial(i); }

// The second stage of a multiplication whose k was split: adds up the partial sums of each element of C, in order and by blocks, whose
// rounding errors grow less with their number.
//
// Needs of matmul/partial_sum_quads or matmul/partial_sums: partial_at
// Needs of the generator: WORKGROUP, params.count, params.splits, store
// Gives: BLOCK
const BLOCK: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.count) {
        return;
    }
    var sum = partial_at(i);
    for (var split = 1u; split < min(BLOCK, params.splits); split++) {
        sum += partial_at(split * params.count + i);
    }
    for (var first = BLOCK; first < params.splits; first += BLOCK) {
        var block = partial_at(first * params.count + i);
        for (var split = first + 1u; split < min(first + BLOCK, params.splits); split++) {
            block += partial_at(split * params.count + i);
        }
        sum += block;
    }
    store(i, sum);
}

// Kernel reshape
struct Params {
    numel: u32,
    quads: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 256u + lane;
    if (thread >= params.quads) { return; }
    let t0 = quad_b0(thread);
    b1[thread] = t0;
}

// Kernel reshape
struct Params {
    numel: u32,
    quads: u32,
    p2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 256u + lane;
    if (thread >= params.quads) { return; }
    let t0 = thread * 4u;
    let t1 = quad_b0((t0 + params.p2) / 4u);
    b1[thread] = t1;
}
