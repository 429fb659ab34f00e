// C = A B over an empty k: every element is an empty sum.
//
// Needs of the generator: WORKGROUP, params.count, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i < params.count) {
        store(i, 0.0);
    }
}
