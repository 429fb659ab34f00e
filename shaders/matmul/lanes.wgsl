// A lane's results of eight rows: four columns of each.
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

// Four steps of k for eight rows.
fn multiply4(sums: ptr<function, Sums>, a: vec4<f32>, b: mat4x4<f32>) {
    multiply(sums, a.x, b[0]);
    multiply(sums, a.y, b[1]);
    multiply(sums, a.z, b[2]);
    multiply(sums, a.w, b[3]);
}

