// y[o, j, i] = x[o, index[o, j, i], i], with x seen as [outer, size, inner] and index as [outer, len, inner].
// An index out of range is reported; memory outside x is never read.
//
// Needs of the generator: WORKGROUP, load_index, load_x, params.inner, params.len, params.size, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let i = p % params.inner;
    let o = p / params.inner / params.len;
    let index = i32(load_index(p));
    var k = u32(index);
    if (index < 0 || k >= params.size) {
        report_index(index, params.size);
        if (params.size == 0u) { return; }
        k = 0u;
    }
    store(p, load_x((o * params.size + k) * params.inner + i));
}
