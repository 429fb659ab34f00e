// Kernel matmul_tiled
struct Params {
    m: u32,
    n: u32,
    k: u32,
    k_chunk: u32,
    matrices: u32,
    tiles: u32,
    row_tiles: u32,
    column_tiles: u32,
    batch1: u32,
    batch2: u32,
    a_offset: u32,
    a_batch0: u32,
    a_batch1: u32,
    a_batch2: u32,
    a_row: u32,
    a_col: u32,
    b_offset: u32,
    b_batch0: u32,
    b_batch1: u32,
    b_batch2: u32,
    b_row: u32,
    b_col: u32,
    p22: u32,
    p23: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const ROW_SIDE: u32 = 8u;
const COLUMN_SIDE: u32 = 8u;
const ROW_QUADS: u32 = 1u;
const COLUMN_QUADS: u32 = 1u;
const DEPTH: u32 = 8u;
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

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b2(i: u32) -> vec4<f32> {
    return vec4<f32>(b2[i]);
}
fn add_fwd(a: f32, b: f32) -> f32 { return a + b; }

// relu(x) = max(x, 0); the gradient at 0 is 0, NaN passes. (Nair, Hinton 2010)
fn relu_fwd(x: f32) -> f32 { return select(x, 0.0, (x <= 0.0) & !is_nan(x)); }

fn store(i: u32, value: vec4<f32>) {
    let t0 = i * 4u;
    let t1 = quotient(t0, params.p23);
    let t2 = quad_b2(((t0 - t1 * params.p23)) / 4u);
    let t3 = vec4<f32>(add_fwd(value.x, t2.x), add_fwd(value.y, t2.y), add_fwd(value.z, t2.z), add_fwd(value.w, t2.w));
    let t4 = vec4<f32>(relu_fwd(t3.x), relu_fwd(t3.y), relu_fwd(t3.z), relu_fwd(t3.w));
    b3[i] = t4;
}
// The offset of one matrix of a batch: `index` counts matrices in row-major order over the batch dims
// [.., params.batch1, params.batch2], each of which has its own stride (0 repeats a matrix).
fn batch_offset(index: u32, stride0: u32, stride1: u32, stride2: u32) -> u32 {
    let inner = index % params.batch2;
    let outer = index / params.batch2;
    return outer / params.batch1 * stride0 + outer % params.batch1 * stride1 + inner * stride2;
}

// How the tiled kernel reads two matrices of any strides: four neighbouring rows of A or columns of B at one step of k, zeros past the end
// of the sum. What lies past the last row or column is not stored, so it repeats that one.
fn a_start(batch: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2);
}

fn b_start(batch: u32) -> u32 {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
}

fn prepare(first_column: u32, local: u32) {}

fn a_quad(start: u32, row: u32, k: u32, k_end: u32) -> vec4<f32> {
    let at = start + min(k, params.k - 1u) * params.a_col
        + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u)) * params.a_row;
    let values = vec4<f32>(f32(a[at.x]), f32(a[at.y]), f32(a[at.z]), f32(a[at.w]));
    return select(vec4<f32>(), values, k < k_end);
}

fn b_quad(start: u32, first_column: u32, quad: u32, k: u32, k_end: u32) -> vec4<f32> {
    let column = first_column + quad * 4u;
    let at = start + min(k, params.k - 1u) * params.b_row
        + min(column + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u)) * params.b_col;
    let values = vec4<f32>(f32(b[at.x]), f32(b[at.y]), f32(b[at.z]), f32(b[at.w]));
    return select(vec4<f32>(), values, k < k_end);
}
// Stores four neighbouring results of one row into C, whose rows are a multiple of four long.
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let first = (matrix * params.m + row) * params.n + column;
    store(first / 4u, values);
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
