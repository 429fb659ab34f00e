// A load brings eight rows to a lane, and so sixteen to eight lanes.
const A_WIDTH: u32 = 8u;

fn a_first(batch: u32, row: u32, lane: u32, along: u32) -> u32 {
    return a_place(batch, rows_inside(row + select(0u, lane / 4u % 2u * 8u, ROWS > 8u)), lane, along);
}

fn multiply_eight(sums: ptr<function, Sums>, at: u32, stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>) {
    let a = octet_a(at);
    (*sums).row0 = low_steps((*sums).row0, a[0].x, b0);
    (*sums).row1 = low_steps((*sums).row1, a[0].y, b0);
    (*sums).row2 = low_steps((*sums).row2, a[0].z, b0);
    (*sums).row3 = low_steps((*sums).row3, a[0].w, b0);
    (*sums).row4 = low_steps((*sums).row4, a[1].x, b0);
    (*sums).row5 = low_steps((*sums).row5, a[1].y, b0);
    (*sums).row6 = low_steps((*sums).row6, a[1].z, b0);
    (*sums).row7 = low_steps((*sums).row7, a[1].w, b0);
}

fn multiply_sixteen(
    low: ptr<function, Sums>, high: ptr<function, Sums>, low_at: u32, high_at: u32,
    stride: u32, k: u32, last: u32, b0: mat4x4<f32>, b1: mat4x4<f32>,
) {
    let a = octet_a(low_at);
    (*low).row0 = low_steps((*low).row0, a[0].x, b0);
    (*low).row1 = low_steps((*low).row1, a[0].y, b0);
    (*low).row2 = low_steps((*low).row2, a[0].z, b0);
    (*low).row3 = low_steps((*low).row3, a[0].w, b0);
    (*low).row4 = low_steps((*low).row4, a[1].x, b0);
    (*low).row5 = low_steps((*low).row5, a[1].y, b0);
    (*low).row6 = low_steps((*low).row6, a[1].z, b0);
    (*low).row7 = low_steps((*low).row7, a[1].w, b0);
    (*high).row0 = high_steps((*high).row0, a[0].x, b0);
    (*high).row1 = high_steps((*high).row1, a[0].y, b0);
    (*high).row2 = high_steps((*high).row2, a[0].z, b0);
    (*high).row3 = high_steps((*high).row3, a[0].w, b0);
    (*high).row4 = high_steps((*high).row4, a[1].x, b0);
    (*high).row5 = high_steps((*high).row5, a[1].y, b0);
    (*high).row6 = high_steps((*high).row6, a[1].z, b0);
    (*high).row7 = high_steps((*high).row7, a[1].w, b0);
}
