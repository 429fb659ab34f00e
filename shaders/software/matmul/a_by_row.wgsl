// Lane i holds row i's elements of A for four steps of k, or eight.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/a_by_step or software/matmul/a_fours or software/matmul/a_octets: A_PARTS
// Needs of software/matmul/a_fours or software/matmul/a_octets: a_first_part, a_load, a_second_part
// Needs of software/matmul/a_places: a_start
// Needs of software/matmul/edges: row_inside
// Needs of software/matmul/lanes: Sums, multiply4
// Gives: a_first, multiply_eight, rows_inside

// Eight rows, of which some may be past the last one: see row_inside.
fn rows_inside(row: u32) -> u32 {
    return row;
}

// The place that this lane loads from first for the eight rows from `row` on, `along` past the start of its row.
fn a_first(batch: u32, row: u32, lane: u32, along: u32) -> u32 {
    return a_start(batch, row_inside(row + lane % min(ROWS, 8u))) + along;
}

// The steps of k that one load of A brings, for eight rows.
fn multiply_eight(sums: ptr<function, Sums>, at: u32, stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>) {
    let a = a_load(at, stride, k, last);
    multiply4(sums, a_first_part(a), b0);
    if (A_PARTS > 1u) { multiply4(sums, a_second_part(a), b1); }
}
