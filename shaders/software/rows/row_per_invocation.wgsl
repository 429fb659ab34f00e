// A row is worked on by one invocation: short rows, and rows that lie across memory, on adapters that run shaders on CPU cores.
//
// Needs of cross_entropy/backward or cross_entropy/forward or norm/backward or norm/forward or norm/parameters_backward or norm/row_statistics or softmax/backward or softmax/forward or software/conv/product or software/conv/weight_product:
//     run
// Needs of the generator: WORKGROUP, params.rows
// Gives: lanes_max, lanes_sum
fn lanes_max(value: f32, lane: u32) -> f32 { return value; }
fn lanes_sum(value: f32, lane: u32) -> f32 { return value; }

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_index(group, groups) * WORKGROUP + local;
    if (row >= params.rows) { return; }
    // Lane 0, in a form that may differ between invocations as far as a compiler can see: llvmpipe (Mesa 22.3) loses the sums of a loop
    // that also loads from an address which all invocations share.
    run(row, row >> 31u);
}
