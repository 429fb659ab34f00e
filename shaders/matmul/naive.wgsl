// C = A B, one element of C an invocation: the textbook's definition, for any strides. It is the baseline of the benchmarks.
//
// Needs of matmul/batch: batch_offset
// Needs of matmul/partial_one or matmul/store_one or matmul/tile_c_each or matmul/tile_c_quads: put
// Needs of the generator: WORKGROUP, a, b, params.a_batch0, params.a_batch1, params.a_batch2, params.a_col, params.a_offset,
//     params.a_row, params.b_batch0, params.b_batch1, params.b_batch2, params.b_col, params.b_offset, params.b_row, params.batch,
//     params.count, params.k, params.k_chunk, params.m, params.n
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.count) {
        return;
    }
    let column = i % params.n;
    let row = i / params.n % params.m;
    let matrix = i / params.n / params.m;
    let batch = matrix % params.batch;
    let k_start = matrix / params.batch * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);
    let a_from = params.a_offset + batch_offset(batch, params.a_batch0, params.a_batch1, params.a_batch2) + row * params.a_row;
    let b_from = params.b_offset + batch_offset(batch, params.b_batch0, params.b_batch1, params.b_batch2) + column * params.b_col;
    var sum = 0.0;
    for (var k = k_start; k < k_end; k++) {
        sum += f32(a[a_from + k * params.a_col]) * f32(b[b_from + k * params.b_row]);
    }
    put(matrix, row, column, sum);
}
