// A lane's results of eight rows: four columns of each.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/multiply: multiply
// Gives: Sums, multiply4
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

// Four steps of k for eight rows; lane i holds the elements of row i of A. Row by row: a sum that does not fit the registers is loaded and
// stored once.
fn multiply4(sums: ptr<function, Sums>, a: vec4<f32>, b: mat4x4<f32>) {
    (*sums).row0 = multiply((*sums).row0, subgroupBroadcast(a, 0u), b);
    (*sums).row1 = multiply((*sums).row1, subgroupBroadcast(a, 1u), b);
    (*sums).row2 = multiply((*sums).row2, subgroupBroadcast(a, 2u), b);
    (*sums).row3 = multiply((*sums).row3, subgroupBroadcast(a, 3u), b);
    if (ROWS > 4u) {
        (*sums).row4 = multiply((*sums).row4, subgroupBroadcast(a, 4u), b);
        (*sums).row5 = multiply((*sums).row5, subgroupBroadcast(a, 5u), b);
        (*sums).row6 = multiply((*sums).row6, subgroupBroadcast(a, 6u), b);
        (*sums).row7 = multiply((*sums).row7, subgroupBroadcast(a, 7u), b);
    }
}
