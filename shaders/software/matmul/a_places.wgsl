// The place of the first element of a row of A.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: params.a_batch0, params.a_batch1, params.a_batch2, params.a_offset, params.a_row
// Gives: a_start
fn a_start(batch: u32, row: u32) -> u32 {
    return params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2) + row * params.a_row;
}
