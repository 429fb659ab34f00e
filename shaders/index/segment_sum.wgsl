// y[o, k, i] = what both() makes of x[o, j, i] over the j with index[o, j, i] = k, in ascending j: the j of one k are a segment of the sorted
// order. y is [outer, size, inner], x is [outer, len, inner]; rows of indices that are equal by construction exist once.
//
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: kept
// Needs of index/segment_long or index/segment_short: segment_total
// Needs of the generator: WORKGROUP, order, params.inner, params.row_inner, params.row_outer, params.size, params.starts, params.total,
//     store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let line = quotient(p, params.inner);
    let i = p - line * params.inner;
    let o = quotient(line, params.size);
    let k = line - o * params.size;
    let row = (o % params.row_outer) * params.row_inner + i % params.row_inner;
    let segment = params.starts + row * (params.size + 1u) + k;
    let start = order[segment];
    let end = order[segment + 1u];
    store(p, kept(p, segment_total(row, o, i, start, end), start == end));
}
