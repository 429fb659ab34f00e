// Copies one input into its window of the output: y[o, offset + k, i] = x[o, k, i].
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
    let inside = i % params.window;
    let outer = i / params.window;
    store(outer * params.stride + params.offset + inside, load_x(i));
}
