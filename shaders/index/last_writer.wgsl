// y[o, k, i] = 1 + the last j with index[o, j, i] = k, or 0 where there is none: whose value a scatter leaves at each place.
//
// Needs of the generator: WORKGROUP, load_index, params.inner, params.len, params.size, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let i = p % params.inner;
    let row = p / params.inner;
    let o = row / params.size;
    let k = row % params.size;
    var last = 0u;
    for (var j = 0u; j < params.len; j += 1u) {
        let index = i32(load_index((o * params.len + j) * params.inner + i));
        if (index == i32(k)) { last = j + 1u; }
        if (k == 0u && (index < 0 || u32(index) >= params.size)) { report_index(index, params.size); }
    }
    store(p, last);
}
