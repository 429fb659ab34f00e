// C = A B for adapters that run shaders on CPU cores, with subgroups.
//
// A subgroup computes a tile of ROWS rows by LANES * 4 columns; a lane holds ROWS by 4 of it in registers. For four steps
// of k, each lane loads one vec4 of A (its row's elements) and one vec4 of B a step. subgroupBroadcast hands the elements
// of A round. There is no workgroup memory and no barrier: on such adapters loads cost most (each lane's load is a
// step of its own), a broadcast costs almost nothing, and a barrier ends the compiler's loop over the lanes.
// Tiles are numbered down the rows first, so that the tiles in flight share a panel of B that stays in cache.

// A lane's results: four columns of each row.
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

// One step of k: lane i holds the element of row i of A; b is the lane's own four columns.
fn multiply(sums: ptr<function, Sums>, a: f32, b: vec4<f32>) {
    (*sums).row0 += subgroupBroadcast(a, 0u) * b;
    (*sums).row1 += subgroupBroadcast(a, 1u) * b;
    (*sums).row2 += subgroupBroadcast(a, 2u) * b;
    (*sums).row3 += subgroupBroadcast(a, 3u) * b;
    if (ROWS > 4u) {
        (*sums).row4 += subgroupBroadcast(a, 4u) * b;
        (*sums).row5 += subgroupBroadcast(a, 5u) * b;
        (*sums).row6 += subgroupBroadcast(a, 6u) * b;
        (*sums).row7 += subgroupBroadcast(a, 7u) * b;
    }
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
    var sums = Sums();
    for (var k = k_start; k < k_end; k += 4u) {
        let a_own = a_quad(a_from, k);
        let b4 = b_block(b_from, quad, k);
        multiply(&sums, a_own.x, b4[0]);
        multiply(&sums, a_own.y, b4[1]);
        multiply(&sums, a_own.z, b4[2]);
        multiply(&sums, a_own.w, b4[3]);
    }
    let column = quad * 4u;
    put(matrix, row, column, sums.row0);
    put(matrix, row + 1u, column, sums.row1);
    put(matrix, row + 2u, column, sums.row2);
    put(matrix, row + 3u, column, sums.row3);
    if (ROWS > 4u) {
        put(matrix, row + 4u, column, sums.row4);
        put(matrix, row + 5u, column, sums.row5);
        put(matrix, row + 6u, column, sums.row6);
        put(matrix, row + 7u, column, sums.row7);
    }
}
