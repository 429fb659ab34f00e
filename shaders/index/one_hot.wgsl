// y[p, c] = 1 where index[p] = c, else 0, for c in 0..classes. An index out of range is reported once and gives zeros.
//
// Needs of the generator: WORKGROUP, load_index, params.classes, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let c = p % params.classes;
    let index = i32(load_index(p / params.classes));
    if (c == 0u && (index < 0 || u32(index) >= params.classes)) { report_index(index, params.classes); }
    store(p, select(0.0, 1.0, index == i32(c)));
}
