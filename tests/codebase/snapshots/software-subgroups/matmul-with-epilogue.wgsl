// Kernel matmul_cpu_subgroup
struct Params {
    m: u32,
    n: u32,
    k: u32,
    k_chunk: u32,
    batch: u32,
    batch1: u32,
    batch2: u32,
    tiles: u32,
    row_tiles: u32,
    column_tiles: u32,
    a_offset: u32,
    a_batch0: u32,
    a_batch1: u32,
    a_batch2: u32,
    a_row: u32,
    b_offset: u32,
    b_batch0: u32,
    b_batch1: u32,
    b_batch2: u32,
    b_panel: u32,
    b_step: u32,
    p21: u32,
    p22: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const WORKGROUP: u32 = 16u;
const LANES: u32 = 8u;
const ROWS: u32 = 8u;
const K_TAIL: u32 = 0u;

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_a(i: u32) -> vec4<f32> {
    return vec4<f32>(a[i]);
}
fn quad_b(i: u32) -> vec4<f32> {
    return vec4<f32>(b[i]);
}
fn quad_b2(i: u32) -> vec4<f32> {
    return vec4<f32>(b2[i]);
}
fn add_fwd(a: f32, b: f32) -> f32 { return a + b; }

// relu(x) = max(x, 0); the gradient at 0 is 0, NaN passes. (Nair, Hinton 2010)
fn relu_fwd(x: f32) -> f32 { return select(x, 0.0, (x <= 0.0) & !is_nan(x)); }

var<private> columns0: vec4<f32>;
fn at_columns(column: u32) {
    let group = column / 4u;
    let t0 = quad_b2(group);
    columns0 = t0;
}
fn store(i: u32, value: vec4<f32>) {
    let t1 = vec4<f32>(add_fwd(value.x, columns0.x), add_fwd(value.y, columns0.y), add_fwd(value.z, columns0.z), add_fwd(value.w, columns0.w));
    let t2 = vec4<f32>(relu_fwd(t1.x), relu_fwd(t1.y), relu_fwd(t1.z), relu_fwd(t1.w));
    b3[i] = t2;
}
// The offset of one matrix of a batch: `index` counts matrices in row-major order over the batch dims
// [.., params.batch1, params.batch2], each of which has its own stride (0 repeats a matrix).
//
// Needs of the generator: params.batch1, params.batch2
// Gives: batch_offset
fn batch_offset(index: u32, stride0: u32, stride1: u32, stride2: u32) -> u32 {
    let inner = index % params.batch2;
    let outer = index / params.batch2;
    return outer / params.batch1 * stride0 + outer % params.batch1 * stride1 + inner * stride2;
}

// The place of the first element of a row of A.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: params.a_batch0, params.a_batch1, params.a_batch2, params.a_offset, params.a_row
// Gives: a_start
fn a_start(batch: u32, row: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2) + row * params.a_row;
}
// A with contiguous rows: places and strides count what one load brings.
//
// Gives: A_STEP, a_stride

// From a place to its neighbour along k.
fn a_stride() -> u32 {
    return 1u;
}

// From a place to the one that is loaded next, in strides.
const A_STEP: u32 = 1u;
// A read four elements along k at a time, for A with rows that are contiguous and aligned to four elements, as packed ones are.
//
// Needs of the generator: quad_a
// Gives: a_quad

// A[row, k..k + 4] at its place.
fn a_quad(at: u32, stride: u32, k: u32, last: u32) -> vec4<f32> {
    return quad_a(at);
}
// What one load of A brings: four steps.
//
// Needs of software/matmul/a_quads or software/matmul/a_scalars: a_quad
// Gives: A_PARTS, a_first_part, a_load, a_second_part
const A_PARTS: u32 = 1u;
alias Held = vec4<f32>;

fn a_load(at: u32, stride: u32, k: u32, last: u32) -> Held {
    return a_quad(at, stride, k, last);
}

fn a_first_part(held: Held) -> vec4<f32> {
    return held;
}

fn a_second_part(held: Held) -> vec4<f32> {
    return held;
}
// B read four columns at a time, for B with rows that are contiguous and aligned to four elements, and for B packed into
// panels (see pack.wgsl). Places and strides count vec4s.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: LANES, params.b_batch0, params.b_batch1, params.b_batch2, params.b_offset, params.b_panel, params.b_step,
//     quad_b
// Gives: Place, b_start, b_stride, b_values

// Where a lane's columns are.
alias Place = u32;

// The place of the first row.
fn b_start(batch: u32, quad: u32) -> Place {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2)
        + quad / LANES * params.b_panel + quad % LANES;
}

// From a place to its neighbour along k.
fn b_stride() -> u32 {
    return params.b_step;
}

fn b_values(at: Place) -> vec4<f32> {
    return quad_b(at);
}
// B read row by row. Rows past `last`, the end of k, are zero.
//
// Needs of software/matmul/b_columns or software/matmul/b_places: Place
// Needs of software/matmul/b_columns or software/matmul/b_scalars: b_values
// Needs of the generator: K_TAIL
// Gives: B_STEP, b_block

// From a place to the one four steps of k on, in strides.
const B_STEP: u32 = 4u;

fn b_row(at: Place, stride: u32, i: u32, k: u32, last: u32) -> vec4<f32> {
    if (K_TAIL == 0u) {
        return b_values(at + i * stride);
    }
    return select(vec4<f32>(), b_values(at + (min(k + i, last) - k) * stride), k + i <= last);
}

// Four rows of B, four columns wide: element [i][j] is B[k + i, 4 quad + j].
fn b_block(at: Place, stride: u32, k: u32, last: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        b_row(at, stride, 0u, k, last),
        b_row(at, stride, 1u, k, last),
        b_row(at, stride, 2u, k, last),
        b_row(at, stride, 3u, k, last),
    );
}
// Stores four neighbouring results of one row into C, whose rows are a multiple of four long.
//
// Needs of the generator: params.m, params.n, store
// Gives: put
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let first = (matrix * params.m + row) * params.n + column;
    store(first / 4u, values);
}
// Rows past the last one repeat it: their factors do, so that they hold the same results, which are stored to its place. No branch guards a
// store.
//
// Needs of software/matmul/partial_quads or software/matmul/partial_scalars or software/matmul/store_quads or software/matmul/store_scalars:
//     put
// Needs of the generator: params.m
// Gives: put_inside, row_inside
fn row_inside(row: u32) -> u32 {
    return min(row, params.m - 1u);
}

fn put_inside(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    put(matrix, row_inside(row), column, values);
}
// Four steps of k for one row: a has its elements of A, b the lane's own four columns.
//
// Gives: multiply
fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}
// A lane's results of eight rows: four columns of each.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/multiply: multiply
// Gives: Sums, multiply4
struct Sums {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
    row4: vec4<f32>,
    row5: vec4<f32>,
    row6: vec4<f32>,
    row7: vec4<f32>,
}

// Four steps of k for eight rows; lane i holds the elements of row i of A. Row by row: a sum that does not fit the registers is loaded and
// stored once.
fn multiply4(sums: ptr<function, Sums>, a: vec4<f32>, b: mat4x4<f32>) {
    (*sums).row0 = multiply((*sums).row0, subgroupBroadcast(a, 0u), b);
    (*sums).row1 = multiply((*sums).row1, subgroupBroadcast(a, 1u), b);
    (*sums).row2 = multiply((*sums).row2, subgroupBroadcast(a, 2u), b);
    (*sums).row3 = multiply((*sums).row3, subgroupBroadcast(a, 3u), b);
    if (ROWS > 4u) {
        (*sums).row4 = multiply((*sums).row4, subgroupBroadcast(a, 4u), b);
        (*sums).row5 = multiply((*sums).row5, subgroupBroadcast(a, 5u), b);
        (*sums).row6 = multiply((*sums).row6, subgroupBroadcast(a, 6u), b);
        (*sums).row7 = multiply((*sums).row7, subgroupBroadcast(a, 7u), b);
    }
}
// Lane i holds row i's elements of A for four steps of k, or eight.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/a_by_step or software/matmul/a_fours or software/matmul/a_octets: A_PARTS
// Needs of software/matmul/a_fours or software/matmul/a_octets: a_first_part, a_load, a_second_part
// Needs of software/matmul/a_places: a_start
// Needs of software/matmul/edges: row_inside
// Needs of software/matmul/lanes: Sums, multiply4
// Gives: a_first, multiply_eight, rows_inside

// Eight rows, of which some may be past the last one: see row_inside.
fn rows_inside(row: u32) -> u32 {
    return row;
}

// The place that this lane loads from first for the eight rows from `row` on, `along` past the start of its row.
fn a_first(batch: u32, row: u32, lane: u32, along: u32) -> u32 {
    return a_start(batch, row_inside(row + lane % min(ROWS, 8u))) + along;
}

// The steps of k that one load of A brings, for eight rows.
fn multiply_eight(sums: ptr<function, Sums>, at: u32, stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>) {
    let a = a_load(at, stride, k, last);
    multiply4(sums, a_first_part(a), b0);
    if (A_PARTS > 1u) { multiply4(sums, a_second_part(a), b1); }
}
// Sixteen rows, where a load of A serves eight.
//
// Needs of software/matmul/a_by_row or software/matmul/a_step_octets or software/matmul/a_step_quads: multiply_eight
// Needs of software/matmul/lanes: Sums
// Gives: multiply_sixteen
fn multiply_sixteen(
    low: ptr<function, Sums>, high: ptr<function, Sums>, low_at: u32, high_at: u32,
    stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>,
) {
    multiply_eight(low, low_at, stride, k, last, b0, b1);
    multiply_eight(high, high_at, stride, k, last, b0, b1);
}
// C = A B for adapters that run shaders on CPU cores, with subgroups.
//
// A subgroup computes a tile of ROWS rows (4, 8, 16 or 32) by LANES * 4 columns; a lane holds ROWS by 4 of it. For four steps of k, or
// eight, each lane loads elements of A for each eight rows, at once (those of its row or of its step), and one vec4 of B a step.
// subgroupBroadcast hands the elements of A round. There is no workgroup memory and no barrier: on such adapters loads cost most (each lane's load is a
// step of its own), a broadcast costs almost nothing, and a barrier ends the compiler's loop over the lanes. More rows mean fewer
// loads a multiplication; that the sums of 32 rows do not fit the registers costs less than that saves.
// Tiles are numbered down the rows first, so that the tiles in flight share a panel of B that stays in cache.
//
// Places move along with k, and what the loop needs of the parameters is read before it: the driver's compiler computes a place that
// does not change once for each lane and load, and reads parameters again at each use.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/a_by_row or software/matmul/a_by_step: rows_inside
// Needs of software/matmul/a_by_row or software/matmul/a_step_octets or software/matmul/a_step_quads: multiply_eight
// Needs of software/matmul/a_by_row or software/matmul/a_step_octets or software/matmul/a_step_quads or software/matmul/plain: a_first
// Needs of software/matmul/a_by_step or software/matmul/a_fours or software/matmul/a_octets: A_PARTS
// Needs of software/matmul/a_by_step or software/matmul/a_rows or software/matmul/a_scalars: A_STEP, a_stride
// Needs of software/matmul/a_eights or software/matmul/a_step_octets: multiply_sixteen
// Needs of software/matmul/b_columns or software/matmul/b_places: b_start
// Needs of software/matmul/b_columns or software/matmul/b_quads or software/matmul/b_scalars: b_stride
// Needs of software/matmul/b_quads or software/matmul/b_rows: B_STEP, b_block
// Needs of software/matmul/edges: put_inside
// Needs of software/matmul/lanes: Sums
// Needs of the generator: LANES, WORKGROUP, at_columns, params.batch, params.column_tiles, params.k, params.k_chunk, params.m, params.n,
//     params.row_tiles, params.tiles

fn put8(matrix: u32, first: u32, column: u32, sums: Sums) {
    let row = rows_inside(first);
    put_inside(matrix, row, column, sums.row0);
    put_inside(matrix, row + 1u, column, sums.row1);
    put_inside(matrix, row + 2u, column, sums.row2);
    put_inside(matrix, row + 3u, column, sums.row3);
    if (ROWS > 4u) {
        put_inside(matrix, row + 4u, column, sums.row4);
        put_inside(matrix, row + 5u, column, sums.row5);
        put_inside(matrix, row + 6u, column, sums.row6);
        put_inside(matrix, row + 7u, column, sums.row7);
    }
}

// The sums of the eight rows from `first` of the tile on.
fn picked(first: u32, sums0: Sums, sums1: Sums, sums2: Sums, sums3: Sums) -> Sums {
    if (ROWS <= 8u) { return sums0; }
    return Sums(
        one_of(first, sums0.row0, sums1.row0, sums2.row0, sums3.row0),
        one_of(first, sums0.row1, sums1.row1, sums2.row1, sums3.row1),
        one_of(first, sums0.row2, sums1.row2, sums2.row2, sums3.row2),
        one_of(first, sums0.row3, sums1.row3, sums2.row3, sums3.row3),
        one_of(first, sums0.row4, sums1.row4, sums2.row4, sums3.row4),
        one_of(first, sums0.row5, sums1.row5, sums2.row5, sums3.row5),
        one_of(first, sums0.row6, sums1.row6, sums2.row6, sums3.row6),
        one_of(first, sums0.row7, sums1.row7, sums2.row7, sums3.row7),
    );
}

fn one_of(first: u32, r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>) -> vec4<f32> {
    let low = select(r0, r1, first == 8u);
    if (ROWS <= 16u) { return low; }
    return select(low, select(r2, r3, first == 24u), first >= 16u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
    if (tile >= params.tiles) {
        return;
    }
    let row = tile % params.row_tiles * ROWS;
    let panel = tile / params.row_tiles;
    // Quads past the last one repeat it.
    let quad = min(panel % params.column_tiles * LANES + lane, (params.n - 1u) / 4u);
    let matrix = panel / params.column_tiles;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);

    let last = params.k - 1u;
    let a_near = a_stride();
    let a_far = A_STEP * a_near;
    let b_near = b_stride();
    let b_far = B_STEP * b_near;
    let a_before = k_start / (4u * A_PARTS) * a_far;
    var a_at0 = a_first(batch, row, lane, a_before);
    var a_at1 = a_first(batch, row + 8u, lane, a_before);
    var a_at2 = a_first(batch, row + 16u, lane, a_before);
    var a_at3 = a_first(batch, row + 24u, lane, a_before);
    var b_at = b_start(batch, quad) + k_start / 4u * b_far;
    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    for (var k = k_start; k < k_end; k += 4u * A_PARTS) {
        let b0 = b_block(b_at, b_near, k, last);
        b_at += b_far;
        var b1: mat4x4<f32>;
        if (A_PARTS > 1u) {
            b1 = b_block(b_at, b_near, k + 4u, last);
            b_at += b_far;
        }
        if (ROWS > 8u) {
            multiply_sixteen(&sums0, &sums1, a_at0, a_at1, a_near, k, last, b0, b1);
        } else {
            multiply_eight(&sums0, a_at0, a_near, k, last, b0, b1);
        }
        if (ROWS > 16u) { multiply_sixteen(&sums2, &sums3, a_at2, a_at3, a_near, k, last, b0, b1); }
        a_at0 += a_far;
        a_at1 += a_far;
        a_at2 += a_far;
        a_at3 += a_far;
    }
    let column = quad * 4u;
    at_columns(column);
    // Eight rows a turn, of those inside: the driver would compile all that an epilogue does as often as it stands in the text.
    for (var group8 = 0u; group8 < ROWS && row + group8 < params.m; group8 += 8u) {
        put8(matrix, row + group8, column, picked(group8, sums0, sums1, sums2, sums3));
    }
}
