// A with contiguous columns, as a transposed matrix has: for four steps of k, lane i holds neighbouring rows' elements of A at step i % 4, lanes
// from the fourth on those of the next rows. K is a multiple of four, and there are eight rows or more. Places and strides count what
// one load brings.
//
// Needs of matmul/batch: batch_offset
// Needs of software/matmul/a_step_octets or software/matmul/a_step_quads: A_WIDTH
// Needs of software/matmul/multiply: multiply
// Needs of the generator: params.a_batch0, params.a_batch1, params.a_batch2, params.a_offset, params.a_step, params.m
// Gives: A_PARTS, A_STEP, a_place, a_stride, high_steps, low_steps, rows_inside

// Eight rows past the last ones are the last eight.
fn rows_inside(row: u32) -> u32 {
    return min(row, params.m - 8u);
}

// From a step to the next one, and from a place to the one that is loaded next, in strides.
fn a_stride() -> u32 {
    return params.a_step;
}
const A_STEP: u32 = 4u;
// What one load of A brings: its share of four steps.
const A_PARTS: u32 = 1u;

// The place of element `row` of A's step that this lane loads first, `along` past the first step.
fn a_place(batch: u32, row: u32, lane: u32, along: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2)
        + row / A_WIDTH + lane % 4u * params.a_step + along;
}

// Four steps of k for one row, whose elements of A the first four lanes hold, or the next four.
fn low_steps(sum: vec4<f32>, a: f32, b: mat4x4<f32>) -> vec4<f32> {
    let elements = vec4<f32>(
        subgroupBroadcast(a, 0u), subgroupBroadcast(a, 1u), subgroupBroadcast(a, 2u), subgroupBroadcast(a, 3u),
    );
    return multiply(sum, elements, b);
}

fn high_steps(sum: vec4<f32>, a: f32, b: mat4x4<f32>) -> vec4<f32> {
    let elements = vec4<f32>(
        subgroupBroadcast(a, 4u), subgroupBroadcast(a, 5u), subgroupBroadcast(a, 6u), subgroupBroadcast(a, 7u),
    );
    return multiply(sum, elements, b);
}
