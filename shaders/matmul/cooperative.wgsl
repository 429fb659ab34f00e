// C = A B of 16-bit floats for GPUs whose subgroups multiply matrices, for any strides; sums are 32-bit floats.
//
// A workgroup of four subgroups computes a square tile of C, EDGE elements per side, and each subgroup a quarter of it: two by two fragments.
// The workgroup walks over k, DEPTH steps at a time: all invocations together copy the parts of A and B that the tile needs into
// workgroup memory, zeros past the edges, from where the subgroups load their fragments. A_ALONG_K and B_ALONG_K say which way an operand
// lies contiguous in memory, so that neighbouring invocations copy neighbouring elements. Rows in workgroup memory are padded, so that
// those of a fragment lie on different memory banks.
//
// Needs of matmul/batch: batch_offset
// Needs of matmul/fragment_16 or matmul/fragment_8: FRAGMENT, FragmentA, FragmentB, FragmentC
// Needs of matmul/partial_one or matmul/store_one or matmul/tile_c_each or matmul/tile_c_quads: put
// Needs of the generator: A_ALONG_K, B_ALONG_K, LANES, a, b, params.a_batch0, params.a_batch1, params.a_batch2, params.a_col,
//     params.a_offset, params.a_row, params.b_batch0, params.b_batch1, params.b_batch2, params.b_col, params.b_offset, params.b_row,
//     params.batch, params.column_tiles, params.k, params.k_chunk, params.m, params.n, params.row_tiles, params.tiles
// Gives: A_STEP, B_STEP, DEPTH

const EDGE: u32 = 4u * FRAGMENT;
const DEPTH: u32 = 2u * FRAGMENT;
const THREADS: u32 = 4u * LANES;
const A_STEP: u32 = DEPTH + 8u;
const B_STEP: u32 = EDGE + 8u;
const C_SIZE: u32 = FRAGMENT * FRAGMENT;

var<workgroup> a_tile: array<f16, EDGE * A_STEP>;
var<workgroup> b_tile: array<f16, DEPTH * B_STEP>;
var<workgroup> c_fragments: array<f32, 4u * C_SIZE>;

fn a_element(start: u32, row: u32, k: u32, k_end: u32) -> f16 {
    let i = start + min(row, params.m - 1u) * params.a_row + min(k, params.k - 1u) * params.a_col;
    return select(0.0h, a[i], row < params.m && k < k_end);
}

fn b_element(start: u32, column: u32, k: u32, k_end: u32) -> f16 {
    let i = start + min(column, params.n - 1u) * params.b_col + min(k, params.k - 1u) * params.b_row;
    return select(0.0h, b[i], column < params.n && k < k_end);
}

// Stores a subgroup's fragment, which begins at a row and a column of C, up to row `end`, by way of workgroup memory: no invocation knows
// which elements of a fragment it holds.
fn put_fragment(matrix: u32, row: u32, end: u32, column: u32, subgroup: u32, lane: u32) {
    workgroupBarrier();
    for (var i = lane; i < C_SIZE; i += LANES) {
        let at = vec2<u32>(row + i / FRAGMENT, column + i % FRAGMENT);
        if (at.x < end && at.y < params.n) { put(matrix, at.x, at.y, c_fragments[subgroup * C_SIZE + i]); }
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Nobody returns before the fragments are used, which wants all invocations: workgroups past the last tile compute it and store nothing.
    let index = workgroup_index(group, groups);
    let tile = min(index, params.tiles - 1u);
    let end = select(0u, params.m, tile == index);
    let column_tile = tile % params.column_tiles;
    let row_tile = tile / params.column_tiles % params.row_tiles;
    let matrix = tile / params.column_tiles / params.row_tiles;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);
    let a_from = params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2);
    let b_from = params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
    // The subgroup's quarter of the tile.
    let own_row = subgroup / 2u * 2u * FRAGMENT;
    let own_column = subgroup % 2u * 2u * FRAGMENT;

    var c00 = FragmentC();
    var c01 = FragmentC();
    var c10 = FragmentC();
    var c11 = FragmentC();
    for (var k0 = k_start; k0 < k_end; k0 += DEPTH) {
        for (var i = local; i < EDGE * DEPTH; i += THREADS) {
            let a_row = select(i % EDGE, i / DEPTH, A_ALONG_K == 1u);
            let a_step = select(i / EDGE, i % DEPTH, A_ALONG_K == 1u);
            a_tile[a_row * A_STEP + a_step] = a_element(a_from, row_tile * EDGE + a_row, k0 + a_step, k_end);
            let b_column = select(i % EDGE, i / DEPTH, B_ALONG_K == 1u);
            let b_step = select(i / EDGE, i % DEPTH, B_ALONG_K == 1u);
            b_tile[b_step * B_STEP + b_column] = b_element(b_from, column_tile * EDGE + b_column, k0 + b_step, k_end);
        }
        workgroupBarrier();
        for (var step = 0u; step < DEPTH; step += FRAGMENT) {
            let a0 = coopLoadT<FragmentA>(&a_tile[own_row * A_STEP + step], A_STEP);
            let a1 = coopLoadT<FragmentA>(&a_tile[(own_row + FRAGMENT) * A_STEP + step], A_STEP);
            let b0 = coopLoadT<FragmentB>(&b_tile[step * B_STEP + own_column], B_STEP);
            let b1 = coopLoadT<FragmentB>(&b_tile[step * B_STEP + own_column + FRAGMENT], B_STEP);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
        }
        workgroupBarrier();
    }

    let row = row_tile * EDGE + own_row;
    let column = column_tile * EDGE + own_column;
    coopStoreT(c00, &c_fragments[subgroup * C_SIZE], FRAGMENT);
    put_fragment(matrix, row, end, column, subgroup, lane);
    coopStoreT(c01, &c_fragments[subgroup * C_SIZE], FRAGMENT);
    put_fragment(matrix, row, end, column + FRAGMENT, subgroup, lane);
    coopStoreT(c10, &c_fragments[subgroup * C_SIZE], FRAGMENT);
    put_fragment(matrix, row + FRAGMENT, end, column, subgroup, lane);
    coopStoreT(c11, &c_fragments[subgroup * C_SIZE], FRAGMENT);
    put_fragment(matrix, row + FRAGMENT, end, column + FRAGMENT, subgroup, lane);
}
