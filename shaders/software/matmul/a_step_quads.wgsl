// A load brings four rows to a lane, and so eight to eight lanes.
//
// Needs of software/matmul/a_by_row or software/matmul/a_by_step: rows_inside
// Needs of software/matmul/a_by_step: a_place, high_steps, low_steps
// Needs of software/matmul/lanes: Sums
// Needs of the generator: quad_a
// Gives: A_WIDTH, a_first, multiply_eight
const A_WIDTH: u32 = 4u;

fn a_first(batch: u32, row: u32, lane: u32, along: u32) -> u32 {
    return a_place(batch, rows_inside(row) + lane / 4u % 2u * 4u, lane, along);
}

fn multiply_eight(sums: ptr<function, Sums>, at: u32, stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>) {
    let a = quad_a(at);
    (*sums).row0 = low_steps((*sums).row0, a.x, b0);
    (*sums).row1 = low_steps((*sums).row1, a.y, b0);
    (*sums).row2 = low_steps((*sums).row2, a.z, b0);
    (*sums).row3 = low_steps((*sums).row3, a.w, b0);
    (*sums).row4 = high_steps((*sums).row4, a.x, b0);
    (*sums).row5 = high_steps((*sums).row5, a.y, b0);
    (*sums).row6 = high_steps((*sums).row6, a.z, b0);
    (*sums).row7 = high_steps((*sums).row7, a.w, b0);
}
