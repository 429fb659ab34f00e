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
