// A copy of an operand in row-major order, where it lies so that its rows cannot be read by vec4s.
//
// Needs of the generator: WORKGROUP, load_x, params.quads, store_packed
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i < params.quads) { store_packed(i, load_x(i)); }
}
