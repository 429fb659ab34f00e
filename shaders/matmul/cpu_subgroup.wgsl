// C = A B for adapters that run shaders on CPU cores, with subgroups.
//
// A subgroup computes a tile of ROWS rows by LANES * 4 columns; a lane holds ROWS by 4 of it in registers. For four steps
// of k, each lane loads one vec4 of A (its row's elements) and one vec4 of B a step. subgroupBroadcast hands the elements
// of A round. There is no workgroup memory and no barrier: on such adapters loads cost most (each lane's load is a
// step of its own), a broadcast costs almost nothing, and a barrier ends the compiler's loop over the lanes.
// Tiles are numbered down the rows first, so that the tiles in flight share a panel of B that stays in cache.

fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
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
    let quad = panel % params.column_tiles * LANES + lane;
    let matrix = panel / params.column_tiles;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);

    let a_from = a_start(batch, min(row + lane % ROWS, params.m - 1u));
    let b_from = b_start(batch, quad);
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    var sum4 = vec4<f32>();
    var sum5 = vec4<f32>();
    var sum6 = vec4<f32>();
    var sum7 = vec4<f32>();
    for (var k = k_start; k < k_end; k += 4u) {
        let a_own = a_quad(a_from, k);
        let b4 = b_block(b_from, quad, k);
        sum0 = multiply(sum0, subgroupBroadcast(a_own, 0u), b4);
        sum1 = multiply(sum1, subgroupBroadcast(a_own, 1u), b4);
        sum2 = multiply(sum2, subgroupBroadcast(a_own, 2u), b4);
        sum3 = multiply(sum3, subgroupBroadcast(a_own, 3u), b4);
        if (ROWS > 4u) {
            sum4 = multiply(sum4, subgroupBroadcast(a_own, 4u), b4);
            sum5 = multiply(sum5, subgroupBroadcast(a_own, 5u), b4);
            sum6 = multiply(sum6, subgroupBroadcast(a_own, 6u), b4);
            sum7 = multiply(sum7, subgroupBroadcast(a_own, 7u), b4);
        }
    }
    let column = quad * 4u;
    put(matrix, row, column, sum0);
    put(matrix, row + 1u, column, sum1);
    put(matrix, row + 2u, column, sum2);
    put(matrix, row + 3u, column, sum3);
    if (ROWS > 4u) {
        put(matrix, row + 4u, column, sum4);
        put(matrix, row + 5u, column, sum5);
        put(matrix, row + 6u, column, sum6);
        put(matrix, row + 7u, column, sum7);
    }
}
