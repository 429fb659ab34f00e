// C = A B for adapters that run shaders on CPU cores, without subgroups.
//
// An invocation computes ROWS rows (8 or 1) by 4 columns in registers, from vec4s of A along k and vec4s of B along the
// columns. There is no workgroup memory and no barrier, which cost more than they save on such adapters.
// LANES neighbouring invocations make a tile; tiles are numbered down the rows first, so that the tiles in flight share
// a panel of B that stays in cache. With ROWS = 1 this is the kernel for a vector times a matrix.

fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

// Where a row of A starts; rows past the last one repeat it and their results are dropped.
fn a_inside(batch: u32, row: u32) -> u32 {
    return a_start(batch, min(row, params.m - 1u));
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
    let quad = panel % params.column_tiles * LANES + local % LANES;
    let matrix = panel / params.column_tiles;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);

    let b_from = b_start(batch, quad);
    let a_from0 = a_inside(batch, row);
    let a_from1 = a_inside(batch, row + 1u);
    let a_from2 = a_inside(batch, row + 2u);
    let a_from3 = a_inside(batch, row + 3u);
    let a_from4 = a_inside(batch, row + 4u);
    let a_from5 = a_inside(batch, row + 5u);
    let a_from6 = a_inside(batch, row + 6u);
    let a_from7 = a_inside(batch, row + 7u);
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();
    for (var k = k_start; k < k_end; k += 4u) {
        let b4 = b_block(b_from, quad, k);
        sum0 = multiply(sum0, a_quad(a_from0, k), b4);
        if (ROWS > 1u) {
            sum1 = multiply(sum1, a_quad(a_from1, k), b4);
            sum2 = multiply(sum2, a_quad(a_from2, k), b4);
            sum3 = multiply(sum3, a_quad(a_from3, k), b4);
            sum4 = multiply(sum4, a_quad(a_from4, k), b4);
            sum5 = multiply(sum5, a_quad(a_from5, k), b4);
            sum6 = multiply(sum6, a_quad(a_from6, k), b4);
            sum7 = multiply(sum7, a_quad(a_from7, k), b4);
        }
    }
    let column = quad * 4u;
    put(matrix, row, column, sum0);
    if (ROWS > 1u) {
        put(matrix, row + 1u, column, sum1);
        put(matrix, row + 2u, column, sum2);
        put(matrix, row + 3u, column, sum3);
        put(matrix, row + 4u, column, sum4);
        put(matrix, row + 5u, column, sum5);
        put(matrix, row + 6u, column, sum6);
        put(matrix, row + 7u, column, sum7);
    }
}
