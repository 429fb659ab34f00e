// y[p] = x[p]. A NaN is reported, as an index out of range is, so that what depends on y is an error; where NO_INFINITY is set an infinity as well.
//
// Needs of the generator: EXPECTED, NOT_FINITE, NO_INFINITY, WORKGROUP, load_x, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let x = load_x(p);
    if (is_nan(x) | ((NO_INFINITY == 1u) & is_inf(x))) { report_index(i32(2u * EXPECTED) + select(0, 1, is_nan(x)), NOT_FINITE); }
    store(p, x);
}
