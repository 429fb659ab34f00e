// A load brings eight rows to a lane, and so sixteen to eight lanes.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/a_by_row or software/matmul/a_by_step: rows_inside
// Needs of software/matmul/a_by_step: a_place, high_steps, low_steps
// Needs of software/matmul/lanes: Sums
// Needs of the generator: octet_a
// Gives: A_WIDTH, a_first, multiply_eight, multiply_sixteen
const A_WIDTH: u32 = 8u;

fn a_first(batch: u32, row: u32, lane: u32, along: u32) -> u32 {
    return a_place(batch, rows_inside(row + select(0u, lane / 4u % 2u * 8u, ROWS > 8u)), lane, along);
}

// Eight rows of the first four lanes.
fn multiply_low(sums: ptr<function, Sums>, a: array<vec4<f32>, 2>, b: mat4x4<f32>) {
    (*sums).row0 = low_steps((*sums).row0, a[0].x, b);
    (*sums).row1 = low_steps((*sums).row1, a[0].y, b);
    (*sums).row2 = low_steps((*sums).row2, a[0].z, b);
    (*sums).row3 = low_steps((*sums).row3, a[0].w, b);
    (*sums).row4 = low_steps((*sums).row4, a[1].x, b);
    (*sums).row5 = low_steps((*sums).row5, a[1].y, b);
    (*sums).row6 = low_steps((*sums).row6, a[1].z, b);
    (*sums).row7 = low_steps((*sums).row7, a[1].w, b);
}

// Eight rows of the next four lanes.
fn multiply_high(sums: ptr<function, Sums>, a: array<vec4<f32>, 2>, b: mat4x4<f32>) {
    (*sums).row0 = high_steps((*sums).row0, a[0].x, b);
    (*sums).row1 = high_steps((*sums).row1, a[0].y, b);
    (*sums).row2 = high_steps((*sums).row2, a[0].z, b);
    (*sums).row3 = high_steps((*sums).row3, a[0].w, b);
    (*sums).row4 = high_steps((*sums).row4, a[1].x, b);
    (*sums).row5 = high_steps((*sums).row5, a[1].y, b);
    (*sums).row6 = high_steps((*sums).row6, a[1].z, b);
    (*sums).row7 = high_steps((*sums).row7, a[1].w, b);
}

fn multiply_eight(sums: ptr<function, Sums>, at: u32, stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>) {
    multiply_low(sums, octet_a(at), b0);
}

fn multiply_sixteen(
    low: ptr<function, Sums>, high: ptr<function, Sums>, low_at: u32, high_at: u32,
    stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>,
) {
    let a = octet_a(low_at);
    multiply_low(low, a, b0);
    multiply_high(high, a, b0);
}
