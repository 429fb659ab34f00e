// Kernel conv
struct Params {
    m: u32,
    n: u32,
    k: u32,
    k_chunk: u32,
    matrices: u32,
    tiles: u32,
    row_tiles: u32,
    column_tiles: u32,
    input_d: u32,
    input_h: u32,
    input_w: u32,
    kernel_d: u32,
    kernel_h: u32,
    kernel_w: u32,
    output_d: u32,
    output_h: u32,
    output_w: u32,
    padding_d: u32,
    padding_h: u32,
    padding_w: u32,
    dilation_d: u32,
    dilation_h: u32,
    dilation_w: u32,
    batch: u32,
    groups: u32,
    input_channels: u32,
    output_channels: u32,
    total: u32,
    x_offset: u32,
    x_n: u32,
    x_c: u32,
    x_d: u32,
    x_h: u32,
    x_w: u32,
    w_offset: u32,
    w_n: u32,
    w_c: u32,
    w_d: u32,
    w_h: u32,
    w_w: u32,
    p40: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> b2: array<f32>;
const ROW_SIDE: u32 = 8u;
const COLUMN_SIDE: u32 = 8u;
const ROW_QUADS: u32 = 1u;
const COLUMN_QUADS: u32 = 1u;
const DEPTH: u32 = 8u;
const STRIDE_D: u32 = 1u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const A_ALONG_K: u32 = 1u;
const B_ALONG_K: u32 = 0u;

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
fn store(i: u32, value: f32) {
    b2[i] = value;
}
fn finish(p: u32, sum: f32) { store(p, sum); }
// What the convolution kernels share. Vectors hold depth, height and width; a convolution over fewer dims has sizes 1 in front.
fn input_size() -> vec3<u32> { return vec3<u32>(params.input_d, params.input_h, params.input_w); }
fn kernel_size() -> vec3<u32> { return vec3<u32>(params.kernel_d, params.kernel_h, params.kernel_w); }
fn output_size() -> vec3<u32> { return vec3<u32>(params.output_d, params.output_h, params.output_w); }
fn padding() -> vec3<u32> { return vec3<u32>(params.padding_d, params.padding_h, params.padding_w); }
fn dilation() -> vec3<u32> { return vec3<u32>(params.dilation_d, params.dilation_h, params.dilation_w); }

const STRIDE = vec3<u32>(STRIDE_D, STRIDE_H, STRIDE_W);

fn volume(size: vec3<u32>) -> u32 { return size.x * size.y * size.z; }

// The index of a row-major position.
fn position(i: u32, size: vec3<u32>) -> vec3<u32> {
    let row = quotient(i, size.z);
    let plane = quotient(row, size.y);
    return vec3<u32>(plane, row - plane * size.y, i - row * size.z);
}
// How the tiled kernel of matrix products reads the operands of a convolution or of its gradients from where they lie. A step of k, or a
// column of B, is a channel or an image together with a tap or a position; what belongs to the one and what belongs to the other is
// worked out apart, and an element of B needs both.

// What a step of k adds to offsets in A and in B, and to a position in B's images.
struct Step {
    a: u32,
    b: u32,
    shift: vec3<u32>,
}

// Where a column's elements of B lie.
struct Column {
    start: u32,
    corner: vec3<u32>,
}

const COLUMNS: u32 = 4u * COLUMN_SIDE * COLUMN_QUADS;

var<workgroup> columns: array<Column, COLUMNS>;

// The columns of the tile serve all steps.
fn prepare(first_column: u32, local: u32) {
    for (var i = local; i < COLUMNS; i += ROW_SIDE * COLUMN_SIDE) {
        columns[i] = column_of(min(first_column + i, params.n - 1u));
    }
    workgroupBarrier();
}

fn a_quad(start: u32, row: u32, k: u32, k_end: u32) -> vec4<f32> {
    let at = start + step_of(min(k, params.k - 1u)).a
        + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u)) * row_step();
    let values = vec4<f32>(a_element(at.x), a_element(at.y), a_element(at.z), a_element(at.w));
    return select(vec4<f32>(), values, k < k_end);
}

fn b_quad(start: u32, first_column: u32, quad: u32, k: u32, k_end: u32) -> vec4<f32> {
    if (k >= k_end) { return vec4<f32>(); }
    let step = step_of(k);
    return vec4<f32>(
        b_element(start + step.b, columns[quad * 4u], step.shift),
        b_element(start + step.b, columns[quad * 4u + 1u], step.shift),
        b_element(start + step.b, columns[quad * 4u + 2u], step.shift),
        b_element(start + step.b, columns[quad * 4u + 3u], step.shift),
    );
}
// An element of x: positions before the first one wrap to huge ones, which are outside as well.
fn b_element(start: u32, column: Column, shift: vec3<u32>) -> f32 {
    let q = column.corner + shift;
    if (any(q >= input_size())) { return 0.0; }
    return f32(x[start + column.start + dot(q, vec3<u32>(params.x_d, params.x_h, params.x_w))]);
}
// The convolution of forward.wgsl for each group as C[o, (n, p)] = sum over (c, k) of A[o, (c, k)] B[(c, k), (n, p)], where
// A[o, (c, k)] = w[o, c, k] and B[(c, k), (n, p)] = x[n, c, p * stride + k * dilation - padding].
fn a_start(g: u32) -> u32 { return params.w_offset + g * params.output_channels * params.w_n; }
fn b_start(g: u32) -> u32 { return params.x_offset + g * params.input_channels * params.x_c; }
fn row_step() -> u32 { return params.w_n; }
fn a_element(at: u32) -> f32 { return f32(w[at]); }

fn step_of(k: u32) -> Step {
    let c = quotient(k, volume(kernel_size()));
    let tap = position(k - c * volume(kernel_size()), kernel_size());
    let w_step = vec3<u32>(params.w_d, params.w_h, params.w_w);
    return Step(c * params.w_c + dot(tap, w_step), c * params.x_c, tap * dilation());
}

fn column_of(column: u32) -> Column {
    let n = quotient(column, volume(output_size()));
    let p = position(column - n * volume(output_size()), output_size());
    return Column(n * params.x_n, p * STRIDE - padding());
}

fn result_size() -> vec3<u32> { return output_size(); }
fn result_channels() -> u32 { return params.output_channels; }
// Stores up to four neighbouring columns of a row, which are positions of images; `matrix` counts the groups of each part of the sum.
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let positions = volume(result_size());
    let slot = matrix / params.groups;
    let channel = (matrix - slot * params.groups) * result_channels() + row;
    for (var j = 0u; j < min(4u, params.n - column); j++) {
        let n = quotient(column + j, positions);
        let at = (n * params.groups * result_channels() + channel) * positions + column + j - n * positions;
        finish(slot * params.total + at, values[j]);
    }
}
// C = A B for GPUs, whatever A and B are: the file in front of this one says how four neighbours of either are read.
//
// A workgroup of ROW_SIDE by COLUMN_SIDE invocations computes a tile of C. It walks over k, DEPTH steps at a time: all invocations
// together copy the DEPTH columns of A and DEPTH rows of B that the tile needs into workgroup memory, then each multiplies its own
// ROW_QUADS * 4 rows with its COLUMN_QUADS * 4 columns in registers. So an element read from global memory serves a whole tile, and an
// element read from workgroup memory several multiplications.
//
// Both operands are kept as vec4s along their free dim (row of A, column of B): tile[k][quad]. One vec4 of padding a step keeps the
// copying invocations on different memory banks. A_ALONG_K and B_ALONG_K say which way an operand lies contiguous in memory, so
// that neighbouring invocations copy neighbouring elements. An invocation's quads lie a side apart, so that neighbours read
// neighbouring vec4s.

const A_QUADS: u32 = ROW_SIDE * ROW_QUADS;
const B_QUADS: u32 = COLUMN_SIDE * COLUMN_QUADS;
const A_STEP: u32 = A_QUADS + 1u;
const B_STEP: u32 = B_QUADS + 1u;
const THREADS: u32 = ROW_SIDE * COLUMN_SIDE;

var<workgroup> a_tile: array<vec4<f32>, DEPTH * A_STEP>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * B_STEP>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups);
    if (tile >= params.tiles) {
        return;
    }
    let column_tile = tile % params.column_tiles;
    let row_tile = tile / params.column_tiles % params.row_tiles;
    let matrix = tile / params.column_tiles / params.row_tiles;
    let batch = matrix % params.matrices;
    let k_start = matrix / params.matrices * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);
    let a_from = a_start(batch);
    let b_from = b_start(batch);
    let first_row = row_tile * A_QUADS;
    let first_column = column_tile * B_QUADS;
    let x = local % COLUMN_SIDE;
    let y = local / COLUMN_SIDE;
    prepare(first_column * 4u, local);

    // sums[(row quad * 4 + row) * COLUMN_QUADS + column quad]
    var sums: array<vec4<f32>, 4u * ROW_QUADS * COLUMN_QUADS>;
    for (var k0 = k_start; k0 < k_end; k0 += DEPTH) {
        for (var i = local; i < DEPTH * A_QUADS; i += THREADS) {
            let quad = select(i % A_QUADS, i / DEPTH, A_ALONG_K == 1u);
            let step = select(i / A_QUADS, i % DEPTH, A_ALONG_K == 1u);
            a_tile[step * A_STEP + quad] = a_quad(a_from, (first_row + quad) * 4u, k0 + step, k_end);
        }
        for (var i = local; i < DEPTH * B_QUADS; i += THREADS) {
            let quad = select(i % B_QUADS, i / DEPTH, B_ALONG_K == 1u);
            let step = select(i / B_QUADS, i % DEPTH, B_ALONG_K == 1u);
            b_tile[step * B_STEP + quad] = b_quad(b_from, first_column * 4u, quad, k0 + step, k_end);
        }
        workgroupBarrier();
        for (var step = 0u; step < DEPTH; step++) {
            for (var p = 0u; p < ROW_QUADS; p++) {
                let a4 = a_tile[step * A_STEP + p * ROW_SIDE + y];
                for (var q = 0u; q < COLUMN_QUADS; q++) {
                    let b4 = b_tile[step * B_STEP + q * COLUMN_SIDE + x];
                    sums[(p * 4u + 0u) * COLUMN_QUADS + q] += a4.x * b4;
                    sums[(p * 4u + 1u) * COLUMN_QUADS + q] += a4.y * b4;
                    sums[(p * 4u + 2u) * COLUMN_QUADS + q] += a4.z * b4;
                    sums[(p * 4u + 3u) * COLUMN_QUADS + q] += a4.w * b4;
                }
            }
        }
        workgroupBarrier();
    }
    for (var p = 0u; p < ROW_QUADS; p++) {
        for (var r = 0u; r < 4u; r++) {
            for (var q = 0u; q < COLUMN_QUADS; q++) {
                let row = (first_row + p * ROW_SIDE + y) * 4u + r;
                let column = (first_column + q * COLUMN_SIDE + x) * 4u;
                if (row < params.m && column < params.n) {
                    put(matrix, row, column, sums[(p * 4u + r) * COLUMN_QUADS + q]);
                }
            }
        }
    }
}
