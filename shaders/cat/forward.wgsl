// Copies up to four inputs, which follow each other in the output: y[o, offset + k, i] = x[o, k, i] of the input that k lies in. The
// first begins at 0 of the joint window, the others where the one before ends; those that are not there are empty. Everything counts elements,
// or groups of four, as the loads and the store do.
//
// Needs of the generator: WORKGROUP, load_a, load_b, load_c, load_d, params.end_a, params.end_b, params.end_c, params.offset,
//     params.stride, params.total, params.window, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) {
        return;
    }
    let outer = i / params.window;
    let inside = i - outer * params.window;
    let to = outer * params.stride + params.offset + inside;
    if (inside < params.end_a) {
        store(to, load_a(outer * params.end_a + inside));
    } else if (inside < params.end_b) {
        store(to, load_b(outer * (params.end_b - params.end_a) + inside - params.end_a));
    } else if (inside < params.end_c) {
        store(to, load_c(outer * (params.end_c - params.end_b) + inside - params.end_b));
    } else {
        store(to, load_d(outer * (params.window - params.end_c) + inside - params.end_c));
    }
}
