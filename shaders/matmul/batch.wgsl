// The offset of one matrix of a batch: `index` counts matrices in row-major order over the batch dims
// [.., params.batch1, params.batch2], each of which has its own stride (0 repeats a matrix).
//
// Needs of the generator: params.batch1, params.batch2
// Gives: batch_offset
fn batch_offset(index: u32, stride0: u32, stride1: u32, stride2: u32) -> u32 {
    let inner = index % params.batch2;
    let outer = index / params.batch2;
    return outer / params.batch1 * stride0 + outer % params.batch1 * stride1 + inner * stride2;
}

