// Where a lane's columns are, for B read by columns of its own each.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: params.b_batch0, params.b_batch1, params.b_batch2, params.b_col, params.b_offset, params.n
// Gives: Place, b_start
alias Place = vec4<u32>;

// The places of the first row. Columns past the last one repeat it.
fn b_start(batch: u32, quad: u32) -> Place {
    let columns = min(quad * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u));
    return params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2) + columns * params.b_col;
}
