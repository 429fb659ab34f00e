// y[n, o] = x[n, index[n, o]], with the places that largest.wgsl found in the planes of x.
//
// Needs of conv/window or window/taps: input_size, output_size, volume
// Needs of the generator: WORKGROUP, load_index, load_x, params.total, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let plane = quotient(i, volume(output_size())) * volume(input_size());
    store(i, load_x(plane + load_index(i)));
}
