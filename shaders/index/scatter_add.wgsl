// y[o, k, i] = what both() makes of x[o, j, i] over the j with index[o, j, i] = k, in ascending j: each invocation owns one element of y, so no
// atomics are needed and the order is fixed. y is [outer, size, inner], x and index are [outer, len, inner], with few j.
// An index out of range is reported once and does nothing.
//
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: both, kept, nothing
// Needs of the generator: WORKGROUP, load_index, load_x, params.inner, params.len, params.size, params.total, report_index, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let row = quotient(p, params.inner);
    let i = p - row * params.inner;
    let o = quotient(row, params.size);
    let k = row - o * params.size;
    var total = nothing();
    var none = true;
    for (var j = 0u; j < params.len; j += 1u) {
        let q = (o * params.len + j) * params.inner + i;
        let index = i32(load_index(q));
        if (index == i32(k)) {
            total = both(total, load_x(q));
            none = false;
        }
        if (k == 0u && (index < 0 || u32(index) >= params.size)) { report_index(index, params.size); }
    }
    store(p, kept(p, total, none));
}
