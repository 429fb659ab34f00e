// C = A B for GPUs, for any strides.
//
// A workgroup of SIDE by SIDE invocations computes a square tile of C, 4 * SIDE * QUADS elements a side. It walks over k,
// DEPTH steps at a time: all invocations together copy the DEPTH columns of A and DEPTH rows of B that the tile needs into
// workgroup memory, then each multiplies its own QUADS * 4 rows with its QUADS * 4 columns in registers. So an element read from
// global memory serves a whole tile, and an element read from workgroup memory serves QUADS * 4 multiplications.
//
// Both operands are kept as vec4s along their free dim (`u`: row of A, column of B): tile[k][u / 4]. One vec4 of padding a
// step keeps the copying invocations on different memory banks. A_ALONG_K and B_ALONG_K say which way an operand lies contiguous
// in memory, so that neighbouring invocations copy neighbouring elements. An invocation's quads lie SIDE apart, so that
// neighbours read neighbouring vec4s.

const TILE_QUADS: u32 = SIDE * QUADS;
const STEP: u32 = TILE_QUADS + 1u;
const THREADS: u32 = SIDE * SIDE;

var<workgroup> a_tile: array<vec4<f32>, DEPTH * STEP>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * STEP>;

fn a_element(start: u32, row: u32, k: u32, k_end: u32) -> f32 {
    let i = start + min(row, params.m - 1u) * params.a_row + min(k, params.k - 1u) * params.a_col;
    return select(0.0, f32(a[i]), k < k_end);
}

fn b_element(start: u32, column: u32, k: u32, k_end: u32) -> f32 {
    let i = start + min(column, params.n - 1u) * params.b_col + min(k, params.k - 1u) * params.b_row;
    return select(0.0, f32(b[i]), k < k_end);
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
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);
    let a_from = params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2);
    let b_from = params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
    let first_row = row_tile * TILE_QUADS;
    let first_column = column_tile * TILE_QUADS;
    let x = local % SIDE;
    let y = local / SIDE;

    // sums[(row quad * 4 + row) * QUADS + column quad]
    var sums: array<vec4<f32>, 4u * QUADS * QUADS>;
    for (var k0 = k_start; k0 < k_end; k0 += DEPTH) {
        for (var i = local; i < DEPTH * TILE_QUADS; i += THREADS) {
            let a_quad = select(i % TILE_QUADS, i / DEPTH, A_ALONG_K == 1u);
            let a_step = select(i / TILE_QUADS, i % DEPTH, A_ALONG_K == 1u);
            let row = (first_row + a_quad) * 4u;
            a_tile[a_step * STEP + a_quad] = vec4<f32>(
                a_element(a_from, row, k0 + a_step, k_end),
                a_element(a_from, row + 1u, k0 + a_step, k_end),
                a_element(a_from, row + 2u, k0 + a_step, k_end),
                a_element(a_from, row + 3u, k0 + a_step, k_end),
            );
            let b_quad = select(i % TILE_QUADS, i / DEPTH, B_ALONG_K == 1u);
            let b_step = select(i / TILE_QUADS, i % DEPTH, B_ALONG_K == 1u);
            let column = (first_column + b_quad) * 4u;
            b_tile[b_step * STEP + b_quad] = vec4<f32>(
                b_element(b_from, column, k0 + b_step, k_end),
                b_element(b_from, column + 1u, k0 + b_step, k_end),
                b_element(b_from, column + 2u, k0 + b_step, k_end),
                b_element(b_from, column + 3u, k0 + b_step, k_end),
            );
        }
        workgroupBarrier();
        for (var step = 0u; step < DEPTH; step++) {
            for (var p = 0u; p < QUADS; p++) {
                let a4 = a_tile[step * STEP + p * SIDE + y];
                for (var q = 0u; q < QUADS; q++) {
                    let b4 = b_tile[step * STEP + q * SIDE + x];
                    sums[(p * 4u + 0u) * QUADS + q] += a4.x * b4;
                    sums[(p * 4u + 1u) * QUADS + q] += a4.y * b4;
                    sums[(p * 4u + 2u) * QUADS + q] += a4.z * b4;
                    sums[(p * 4u + 3u) * QUADS + q] += a4.w * b4;
                }
            }
        }
        workgroupBarrier();
    }
    for (var p = 0u; p < QUADS; p++) {
        for (var r = 0u; r < 4u; r++) {
            for (var q = 0u; q < QUADS; q++) {
                let row = (first_row + p * SIDE + y) * 4u + r;
                let column = (first_column + q * SIDE + x) * 4u;
                if (row < params.m && column < params.n) { put(matrix, row, column, sums[(p * 4u + r) * QUADS + q]); }
            }
        }
    }
}
