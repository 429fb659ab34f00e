// C = A B for adapters that run shaders on CPU cores, with subgroups.
//
// A subgroup computes a tile of ROWS rows (4, 8, 16 or 32) by LANES * 4 columns; a lane holds ROWS by 4 of it. For four steps of k, or
// eight, each lane loads elements of A for each eight rows, at once (those of its row or of its step), and one vec4 of B a step.
// subgroupBroadcast hands the elements of A round. There is no workgroup memory and no barrier: on such adapters loads cost most (each lane's load is a
// step of its own), a broadcast costs almost nothing, and a barrier ends the compiler's loop over the lanes. More rows mean fewer
// loads a multiplication; that the sums of 32 rows do not fit the registers costs less than that saves.
// Tiles are numbered down the rows first, so that the tiles in flight share a panel of B that stays in cache.
//
// Places move along with k, and what the loop needs of the parameters is read before it: the driver's compiler computes a place that
// does not change once for each lane and load, and reads parameters again at each use.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/a_by_row or software/matmul/a_by_step: rows_inside
// Needs of software/matmul/a_by_row or software/matmul/a_step_octets or software/matmul/a_step_quads: multiply_eight
// Needs of software/matmul/a_by_row or software/matmul/a_step_octets or software/matmul/a_step_quads or software/matmul/plain: a_first
// Needs of software/matmul/a_by_step or software/matmul/a_fours or software/matmul/a_octets: A_PARTS
// Needs of software/matmul/a_by_step or software/matmul/a_rows or software/matmul/a_scalars: A_STEP, a_stride
// Needs of software/matmul/a_eights or software/matmul/a_step_octets: multiply_sixteen
// Needs of software/matmul/b_columns or software/matmul/b_places: b_start
// Needs of software/matmul/b_columns or software/matmul/b_quads or software/matmul/b_scalars: b_stride
// Needs of software/matmul/b_quads or software/matmul/b_rows: B_STEP, b_block
// Needs of software/matmul/edges: put_inside
// Needs of software/matmul/lanes: Sums
// Needs of the generator: LANES, WORKGROUP, at_columns, params.batch, params.column_tiles, params.k, params.k_chunk, params.m, params.n,
//     params.row_tiles, params.tiles

fn put8(matrix: u32, first: u32, column: u32, sums: Sums) {
    let row = rows_inside(first);
    put_inside(matrix, row, column, sums.row0);
    put_inside(matrix, row + 1u, column, sums.row1);
    put_inside(matrix, row + 2u, column, sums.row2);
    put_inside(matrix, row + 3u, column, sums.row3);
    if (ROWS > 4u) {
        put_inside(matrix, row + 4u, column, sums.row4);
        put_inside(matrix, row + 5u, column, sums.row5);
        put_inside(matrix, row + 6u, column, sums.row6);
        put_inside(matrix, row + 7u, column, sums.row7);
    }
}

// The sums of the eight rows from `first` of the tile on.
fn picked(first: u32, sums0: Sums, sums1: Sums, sums2: Sums, sums3: Sums) -> Sums {
    if (ROWS <= 8u) { return sums0; }
    return Sums(
        one_of(first, sums0.row0, sums1.row0, sums2.row0, sums3.row0),
        one_of(first, sums0.row1, sums1.row1, sums2.row1, sums3.row1),
        one_of(first, sums0.row2, sums1.row2, sums2.row2, sums3.row2),
        one_of(first, sums0.row3, sums1.row3, sums2.row3, sums3.row3),
        one_of(first, sums0.row4, sums1.row4, sums2.row4, sums3.row4),
        one_of(first, sums0.row5, sums1.row5, sums2.row5, sums3.row5),
        one_of(first, sums0.row6, sums1.row6, sums2.row6, sums3.row6),
        one_of(first, sums0.row7, sums1.row7, sums2.row7, sums3.row7),
    );
}

fn one_of(first: u32, r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>) -> vec4<f32> {
    let low = select(r0, r1, first == 8u);
    if (ROWS <= 16u) { return low; }
    return select(low, select(r2, r3, first == 24u), first >= 16u);
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
    // Quads past the last one repeat it.
    let quad = min(panel % params.column_tiles * LANES + lane, (params.n - 1u) / 4u);
    let matrix = panel / params.column_tiles;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);

    let last = params.k - 1u;
    let a_near = a_stride();
    let a_far = A_STEP * a_near;
    let b_near = b_stride();
    let b_far = B_STEP * b_near;
    let a_before = k_start / (4u * A_PARTS) * a_far;
    var a_at0 = a_first(batch, row, lane, a_before);
    var a_at1 = a_first(batch, row + 8u, lane, a_before);
    var a_at2 = a_first(batch, row + 16u, lane, a_before);
    var a_at3 = a_first(batch, row + 24u, lane, a_before);
    var b_at = b_start(batch, quad) + k_start / 4u * b_far;
    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    for (var k = k_start; k < k_end; k += 4u * A_PARTS) {
        let b0 = b_block(b_at, b_near, k, last);
        b_at += b_far;
        var b1: mat4x4<f32>;
        if (A_PARTS > 1u) {
            b1 = b_block(b_at, b_near, k + 4u, last);
            b_at += b_far;
        }
        if (ROWS > 8u) {
            multiply_sixteen(&sums0, &sums1, a_at0, a_at1, a_near, k, last, b0, b1);
        } else {
            multiply_eight(&sums0, a_at0, a_near, k, last, b0, b1);
        }
        if (ROWS > 16u) { multiply_sixteen(&sums2, &sums3, a_at2, a_at3, a_near, k, last, b0, b1); }
        a_at0 += a_far;
        a_at1 += a_far;
        a_at2 += a_far;
        a_at3 += a_far;
    }
    let column = quad * 4u;
    at_columns(column);
    // Eight rows a turn, of those inside: the driver would compile all that an epilogue does as often as it stands in the text.
    for (var group8 = 0u; group8 < ROWS && row + group8 < params.m; group8 += 8u) {
        put8(matrix, row + group8, column, picked(group8, sums0, sums1, sums2, sums3));
    }
}
