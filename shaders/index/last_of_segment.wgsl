// y[o, k, i] = 1 + the last j with index[o, j, i] = k, or 0 where there is none: the end of the segment of k in the sorted
// order, in which equal indices stand in ascending j.
//
// Needs of the generator: WORKGROUP, order, params.inner, params.len, params.row_inner, params.row_outer, params.size, params.starts,
//     params.total, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let i = p % params.inner;
    let o = p / params.inner / params.size;
    let k = p / params.inner % params.size;
    let row = (o % params.row_outer) * params.row_inner + i % params.row_inner;
    let segment = params.starts + row * (params.size + 1u) + k;
    let end = order[segment + 1u];
    var last = 0u;
    if (end > order[segment]) { last = order[row * params.len + end - 1u] + 1u; }
    store(p, last);
}
