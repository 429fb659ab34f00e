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
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const ROW_SIDE: u32 = 4u;
const COLUMN_SIDE: u32 = 8u;
const COLUMN_QUADS: u32 = 1u;
const DEPTH: u32 = 16u;
const WRITTEN_OUT: u32 = 1u;
const A_ALONG_K: u32 = 1u;
const B_ALONG_K: u32 = 0u;

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
// Needs of the generator: store
// Gives: finish
fn finish(p: u32, sum: vec4<f32>) { store(p, sum); }
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

// Where the matrices of a product begin.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: params.a_batch0, params.a_batch1, params.a_batch2, params.a_offset, params.b_batch0, params.b_batch1,
//     params.b_batch2, params.b_offset
// Gives: a_start, b_start, four
fn a_start(batch: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2);
}

fn b_start(batch: u32) -> u32 {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
}

// Four neighbours from the first one on; those past the last one repeat it, and what comes of them is not stored.
fn four(first: u32, last: u32) -> vec4<u32> {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
}
// A block of A whose rows are contiguous and aligned to four elements; k is a multiple of four. Places count vec4s. Steps past the end of k
// repeat the last ones, and are not multiplied.
//
// Needs of matmul/tile_places: a_start, four
// Needs of the generator: params.a_row, params.k, params.m, quad_a
// Gives: PlaceA, a_block, a_place
alias PlaceA = vec4<u32>;

fn a_place(batch: u32, row: u32) -> PlaceA {
    return (a_start(batch) + four(row, params.m - 1u) * params.a_row) / 4u;
}

// Column i of the block is four rows at step k + i.
fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let at = place + min(k, params.k - 4u) / 4u;
    return transpose(mat4x4<f32>(quad_a(at.x), quad_a(at.y), quad_a(at.z), quad_a(at.w)));
}
// A block of B whose rows are contiguous and aligned to four elements, at steps that are not negative; n is a multiple of four. Places
// count vec4s. Steps past the end of k repeat the last one, and are not multiplied.
//
// Needs of matmul/tile_places: b_start
// Needs of the generator: params.b_row, params.k, params.n, quad_b
// Gives: PlaceB, b_block, b_place
alias PlaceB = vec2<u32>;

// The places of the first row and of the last one.
fn b_place(batch: u32, first_column: u32, quad: u32, local: u32) -> PlaceB {
    let first = b_start(batch) + min(first_column + quad * 4u, params.n - 4u);
    return vec2<u32>(first, first + (params.k - 1u) * params.b_row) / 4u;
}

// Column i of the block is four columns of B at step k + i.
fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let step = params.b_row / 4u;
    let at = min(place.x + k * step + vec4<u32>(0u, step, 2u * step, 3u * step), vec4<u32>(place.y));
    return mat4x4<f32>(quad_b(at.x), quad_b(at.y), quad_b(at.z), quad_b(at.w));
}
// Where four neighbouring columns of C lie, whose rows are a multiple of four long.
//
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: at_columns, params.m, params.n
// Gives: PlaceC, c_place, put
alias PlaceC = u32;

fn c_place(matrix: u32, column: u32) -> PlaceC {
    at_columns(column);
    return matrix * params.m * params.n + column;
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    finish((place + row * params.n) / 4u, values);
}
// C = A B for GPUs, whatever the matrices are: files in front of this one say how four steps of four neighbours of A or B are read, and
// where four columns of C lie.
//
// A workgroup of ROW_SIDE by COLUMN_SIDE invocations computes a tile of C. It walks over k, DEPTH steps at a time: all invocations
// together copy the DEPTH columns of A and DEPTH rows of B that the tile needs into workgroup memory, then each multiplies its own
// eight rows with its COLUMN_QUADS * 4 columns in registers. So an element read from global memory serves a whole tile, and an
// element read from workgroup memory eight multiplications.
//
// Both operands are kept as vec4s along their free dim (row of A, column of B): tile[step][quad]. One vec4 of padding a step keeps the
// copying invocations on different memory banks. An invocation copies at most one block of each operand: four steps of four
// neighbours.
// A_ALONG_K and B_ALONG_K say which way an operand lies contiguous in memory, so that neighbouring invocations copy neighbouring
// elements. An invocation's quads lie a side apart, so that neighbours read neighbouring vec4s.
//
// Needs of matmul/cooperative: DEPTH
// Needs of matmul/partial_one or matmul/store_one or matmul/tile_c_each or matmul/tile_c_quads: put
// Needs of matmul/tile_a_along_k or matmul/tile_a_along_rows or matmul/tile_a_elements: PlaceA, a_block, a_place
// Needs of matmul/tile_b_along_columns or matmul/tile_b_along_k or matmul/tile_b_elements: PlaceB, b_block, b_place
// Needs of matmul/tile_c_each or matmul/tile_c_quads: PlaceC, c_place
// Needs of the generator: A_ALONG_K, B_ALONG_K, COLUMN_QUADS, COLUMN_SIDE, ROW_SIDE, WRITTEN_OUT, params.column_tiles, params.k,
//     params.k_chunk, params.m, params.matrices, params.n, params.row_tiles, params.tiles
// Gives: A_STEP, B_STEP, Sums, multiply_sixteen, put_row, put_sums

const A_QUADS: u32 = ROW_SIDE * 2u;
const B_QUADS: u32 = COLUMN_SIDE * COLUMN_QUADS;
const A_STEP: u32 = A_QUADS + 1u;
const B_STEP: u32 = B_QUADS + 1u;
const THREADS: u32 = ROW_SIDE * COLUMN_SIDE;
// Blocks that a tile's steps make.
const PARTS: u32 = DEPTH / 4u;

var<workgroup> a_tile: array<vec4<f32>, DEPTH * A_STEP>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * B_STEP>;

// The sums of eight rows and four columns. Each has a variable of its own, which a compiler keeps in registers without having to find out
// what an index may be.
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

fn add_products(sums: ptr<function, Sums>, upper: vec4<f32>, lower: vec4<f32>, b: vec4<f32>) {
    (*sums).row0 += upper.x * b;
    (*sums).row1 += upper.y * b;
    (*sums).row2 += upper.z * b;
    (*sums).row3 += upper.w * b;
    (*sums).row4 += lower.x * b;
    (*sums).row5 += lower.y * b;
    (*sums).row6 += lower.z * b;
    (*sums).row7 += lower.w * b;
}

// One step: a column of A times a row of B. The invocation's first quads of both lie at a place each in the tiles.
fn multiply_step(left: ptr<function, Sums>, right: ptr<function, Sums>, a: u32, b: u32) {
    let upper = a_tile[a];
    let lower = a_tile[a + ROW_SIDE];
    add_products(left, upper, lower, b_tile[b]);
    if (COLUMN_QUADS > 1u) {
        add_products(right, upper, lower, b_tile[b + COLUMN_SIDE]);
    }
}

// So many steps. Their number is not known to a compiler, which so keeps the loop: Intel's has 128 registers for eight lanes, and where it
// can write the steps out it loads ahead for many of them, and spills.
fn multiply_steps(left: ptr<function, Sums>, right: ptr<function, Sums>, steps: u32, a: u32, b: u32) {
    var at = vec2<u32>(a, b);
    for (var step = 0u; step < steps; step++) {
        multiply_step(left, right, at.x, at.y);
        at += vec2<u32>(A_STEP, B_STEP);
    }
}

// All steps of a tile, written out, so that their places are constants.
fn multiply_sixteen(left: ptr<function, Sums>, right: ptr<function, Sums>, a: u32, b: u32) {
    multiply_step(left, right, a + 0u * A_STEP, b + 0u * B_STEP);
    multiply_step(left, right, a + 1u * A_STEP, b + 1u * B_STEP);
    multiply_step(left, right, a + 2u * A_STEP, b + 2u * B_STEP);
    multiply_step(left, right, a + 3u * A_STEP, b + 3u * B_STEP);
    multiply_step(left, right, a + 4u * A_STEP, b + 4u * B_STEP);
    multiply_step(left, right, a + 5u * A_STEP, b + 5u * B_STEP);
    multiply_step(left, right, a + 6u * A_STEP, b + 6u * B_STEP);
    multiply_step(left, right, a + 7u * A_STEP, b + 7u * B_STEP);
    multiply_step(left, right, a + 8u * A_STEP, b + 8u * B_STEP);
    multiply_step(left, right, a + 9u * A_STEP, b + 9u * B_STEP);
    multiply_step(left, right, a + 10u * A_STEP, b + 10u * B_STEP);
    multiply_step(left, right, a + 11u * A_STEP, b + 11u * B_STEP);
    multiply_step(left, right, a + 12u * A_STEP, b + 12u * B_STEP);
    multiply_step(left, right, a + 13u * A_STEP, b + 13u * B_STEP);
    multiply_step(left, right, a + 14u * A_STEP, b + 14u * B_STEP);
    multiply_step(left, right, a + 15u * A_STEP, b + 15u * B_STEP);
}

// Copies the invocation's blocks for the steps from k on.
fn copy_tiles(a: PlaceA, a_quad: u32, a_part: u32, b: PlaceB, b_quad: u32, b_part: u32, k: u32, local: u32) {
    if (A_QUADS * PARTS == THREADS || local < A_QUADS * PARTS) {
        let block = a_block(a, k + a_part);
        let at = a_part * A_STEP + a_quad;
        a_tile[at] = block[0];
        a_tile[at + A_STEP] = block[1];
        a_tile[at + 2u * A_STEP] = block[2];
        a_tile[at + 3u * A_STEP] = block[3];
    }
    if (B_QUADS * PARTS == THREADS || local < B_QUADS * PARTS) {
        let block = b_block(b, k + b_part);
        let at = b_part * B_STEP + b_quad;
        b_tile[at] = block[0];
        b_tile[at + B_STEP] = block[1];
        b_tile[at + 2u * B_STEP] = block[2];
        b_tile[at + 3u * B_STEP] = block[3];
    }
}

fn put_row(place: PlaceC, row: u32, sum: vec4<f32>) {
    if (row < params.m) { put(place, row, sum); }
}

// Stores eight rows of four columns, the upper four from a row on, the lower four from another one on.
fn put_sums(matrix: u32, upper: u32, lower: u32, column: u32, sums: Sums) {
    if (column >= params.n) { return; }
    let place = c_place(matrix, column);
    put_row(place, upper, sums.row0);
    put_row(place, upper + 1u, sums.row1);
    put_row(place, upper + 2u, sums.row2);
    put_row(place, upper + 3u, sums.row3);
    put_row(place, lower, sums.row4);
    put_row(place, lower + 1u, sums.row5);
    put_row(place, lower + 2u, sums.row6);
    put_row(place, lower + 3u, sums.row7);
}

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
    let first_row = row_tile * A_QUADS;
    let first_column = column_tile * B_QUADS;
    let y = local / COLUMN_SIDE;
    let x = local % COLUMN_SIDE;

    // The blocks that the invocation copies: a quad, and which four steps.
    let a_quad = select(local % A_QUADS, local / PARTS, A_ALONG_K == 1u);
    let a_part = 4u * select(local / A_QUADS, local % PARTS, A_ALONG_K == 1u);
    let a_from = a_place(batch, (first_row + a_quad) * 4u);
    let b_quad = select(local % B_QUADS, local / PARTS, B_ALONG_K == 1u);
    let b_part = 4u * select(local / B_QUADS, local % PARTS, B_ALONG_K == 1u);
    let b_from = b_place(batch, first_column * 4u, b_quad, local);

    var left = Sums();
    var right = Sums();
    var k0 = k_start;
    if (WRITTEN_OUT == 1u) {
        for (; k0 + DEPTH <= k_end; k0 += DEPTH) {
            copy_tiles(a_from, a_quad, a_part, b_from, b_quad, b_part, k0, local);
            workgroupBarrier();
            multiply_sixteen(&left, &right, y, x);
            workgroupBarrier();
        }
    }
    // Whatever is left: a tile with fewer steps, or all.
    for (; k0 < k_end; k0 += DEPTH) {
        copy_tiles(a_from, a_quad, a_part, b_from, b_quad, b_part, k0, local);
        workgroupBarrier();
        multiply_steps(&left, &right, min(DEPTH, k_end - k0), y, x);
        workgroupBarrier();
    }

    let upper = (first_row + y) * 4u;
    let lower = upper + ROW_SIDE * 4u;
    let column = (first_column + x) * 4u;
    put_sums(matrix, upper, lower, column, left);
    if (COLUMN_QUADS > 1u) {
        put_sums(matrix, upper, lower, column + COLUMN_SIDE * 4u, right);
    }
}
