// Puts overlapping windows back along one dim and adds where they overlap: the transpose of unfold, and so its gradient.
//   y[o, i, r] = sum over j of x[o, j, r, i - j * step]   with   0 <= i - j * step < size,
// with x [outer, windows, inner, size] and y [outer, length, inner], in ascending j.
// This stage covers `chunk` of the windows that reach i, from the one numbered `start` among them: begin(p) is the sum of the
// stages before, finish(p, sum) passes it on.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let r = p % params.inner;
    let i = p / params.inner % params.length;
    let o = p / params.inner / params.length;
    // Windows first..end reach i.
    var first = 0u;
    if (i >= params.size) { first = (i - params.size) / params.step + 1u; }
    let end = min(i / params.step + 1u, params.windows);
    var sum = begin(p);
    for (var turn = 0u; turn < params.chunk; turn++) {
        let j = first + params.start + turn;
        if (j >= end) { break; }
        sum += load_x(((o * params.windows + j) * params.inner + r) * params.size + i - j * params.step);
    }
    finish(p, sum);
}
