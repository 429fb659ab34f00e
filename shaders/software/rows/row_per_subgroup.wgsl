// A row is worked on by one subgroup, whose lanes take every LANES-th part and combine what they found in registers: no barriers, which
// cost more than they share on adapters that run shaders on CPU cores.
//
// Needs of cross_entropy/backward or cross_entropy/forward or norm/backward or norm/forward or norm/parameters_backward or norm/row_statistics or softmax/backward or softmax/forward or software/conv/product or software/conv/weight_product:
//     run
// Needs of the generator: LANES, WORKGROUP, params.rows
// Gives: lanes_max, lanes_sum

// subgroupMax need not see NaN.
fn lanes_max(value: f32, lane: u32) -> f32 {
    return select(subgroupMax(value), not_a_number(), subgroupAny(is_nan(value)));
}

// The order in which the lanes are added is the driver's choice, and the same at each run.
fn lanes_sum(value: f32, lane: u32) -> f32 { return subgroupAdd(value); }

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let row = workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
    if (row >= params.rows) { return; }
    run(row, lane);
}
