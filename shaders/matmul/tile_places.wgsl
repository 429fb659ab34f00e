// Where the matrices of a product begin.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: params.a_batch0, params.a_batch1, params.a_batch2, params.a_offset, params.b_batch0, params.b_batch1,
//     params.b_batch2, params.b_offset
// Gives: a_start, b_start, four
fn a_start(batch: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2);
}

fn b_start(batch: u32) -> u32 {
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2);
}

// Four neighbours from the first one on; those past the last one repeat it, and what comes of them is not stored.
fn four(first: u32, last: u32) -> vec4<u32> {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
}
