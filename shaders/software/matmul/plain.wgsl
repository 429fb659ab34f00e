// C = A B for adapters that run shaders on CPU cores, without subgroups.
//
// An invocation computes ROWS rows (8 or 1) by 4 columns in registers, from vec4s of A along k and vec4s of B along the
// columns. There is no workgroup memory and no barrier, which cost more than they save on such adapters.
// LANES neighbouring invocations make a tile; tiles are numbered down the rows first, so that the tiles in flight share
// a panel of B that stays in cache. With ROWS = 1 this is the kernel for a vector times a matrix.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/a_by_step or software/matmul/a_rows or software/matmul/a_scalars: A_STEP, a_stride
// Needs of software/matmul/a_places: a_start
// Needs of software/matmul/a_quads or software/matmul/a_scalars: a_quad
// Needs of software/matmul/b_columns or software/matmul/b_places: b_start
// Needs of software/matmul/b_columns or software/matmul/b_quads or software/matmul/b_scalars: b_stride
// Needs of software/matmul/b_quads or software/matmul/b_rows: B_STEP, b_block
// Needs of software/matmul/edges: put_inside, row_inside
// Needs of software/matmul/multiply: multiply
// Needs of the generator: LANES, WORKGROUP, at_columns, params.batch, params.column_tiles, params.k, params.k_chunk, params.n,
//     params.row_tiles, params.tiles
// Gives: a_first

// The place of a row that is loaded from first, `along` past its start.
fn a_first(batch: u32, row: u32, along: u32) -> u32 {
    return a_start(batch, row_inside(row)) + along;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups) * (WORKGROUP / LANES) + local / LANES;
    if (tile >= params.tiles) {
        return;
    }
    let row = tile % params.row_tiles * ROWS;
    let panel = tile / params.row_tiles;
    // Quads past the last one repeat it.
    let quad = min(panel % params.column_tiles * LANES + local % LANES, (params.n - 1u) / 4u);
    let matrix = panel / params.column_tiles;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);

    let last = params.k - 1u;
    let a_near = a_stride();
    let a_far = A_STEP * a_near;
    let b_near = b_stride();
    let b_far = B_STEP * b_near;
    let turns_before = k_start / 4u;
    var b_at = b_start(batch, quad) + turns_before * b_far;
    var a_at0 = a_first(batch, row, turns_before * a_far);
    var a_at1 = a_first(batch, row + 1u, turns_before * a_far);
    var a_at2 = a_first(batch, row + 2u, turns_before * a_far);
    var a_at3 = a_first(batch, row + 3u, turns_before * a_far);
    var a_at4 = a_first(batch, row + 4u, turns_before * a_far);
    var a_at5 = a_first(batch, row + 5u, turns_before * a_far);
    var a_at6 = a_first(batch, row + 6u, turns_before * a_far);
    var a_at7 = a_first(batch, row + 7u, turns_before * a_far);
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();
    for (var k = k_start; k < k_end; k += 4u) {
        let b4 = b_block(b_at, b_near, k, last);
        b_at += b_far;
        sum0 = multiply(sum0, a_quad(a_at0, a_near, k, last), b4);
        a_at0 += a_far;
        if (ROWS > 1u) {
            sum1 = multiply(sum1, a_quad(a_at1, a_near, k, last), b4);
            sum2 = multiply(sum2, a_quad(a_at2, a_near, k, last), b4);
            sum3 = multiply(sum3, a_quad(a_at3, a_near, k, last), b4);
            sum4 = multiply(sum4, a_quad(a_at4, a_near, k, last), b4);
            sum5 = multiply(sum5, a_quad(a_at5, a_near, k, last), b4);
            sum6 = multiply(sum6, a_quad(a_at6, a_near, k, last), b4);
            sum7 = multiply(sum7, a_quad(a_at7, a_near, k, last), b4);
            a_at1 += a_far;
            a_at2 += a_far;
            a_at3 += a_far;
            a_at4 += a_far;
            a_at5 += a_far;
            a_at6 += a_far;
            a_at7 += a_far;
        }
    }
    let column = quad * 4u;
    at_columns(column);
    put_inside(matrix, row, column, sum0);
    if (ROWS > 1u) {
        put_inside(matrix, row + 1u, column, sum1);
        put_inside(matrix, row + 2u, column, sum2);
        put_inside(matrix, row + 3u, column, sum3);
        put_inside(matrix, row + 4u, column, sum4);
        put_inside(matrix, row + 5u, column, sum5);
        put_inside(matrix, row + 6u, column, sum6);
        put_inside(matrix, row + 7u, column, sum7);
    }
}
