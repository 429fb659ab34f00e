// A row is worked on by one workgroup whose adapter has subgroups, of whatever size the kernel finds: each subgroup combines in registers what its
// lanes found, and workgroup memory combines the subgroups. That takes two barriers where a tree takes one per level.
//
// Needs of cross_entropy/backward or cross_entropy/forward or norm/backward or norm/forward or norm/parameters_backward or norm/row_statistics or softmax/backward or softmax/forward or software/conv/product or software/conv/weight_product:
//     run
// Needs of the generator: WORKGROUP, params.rows
// Gives: lanes_max, lanes_sum, partial, position
var<workgroup> partial: array<f32, WORKGROUP>;

struct Position {
    subgroup: u32,
    lane: u32,
    subgroups: u32,
}
var<private> position: Position;

// subgroupMax need not see NaN.
fn lanes_max(value: f32, lane: u32) -> f32 {
    let own = select(subgroupMax(value), not_a_number(), subgroupAny(is_nan(value)));
    if (position.lane == 0u) { partial[position.subgroup] = own; }
    workgroupBarrier();
    var result = partial[0];
    for (var i = 1u; i < position.subgroups; i++) {
        let other = partial[i];
        if (is_nan(other) || other > result) { result = other; }
    }
    workgroupBarrier();
    return result;
}

// The order in which the lanes of a subgroup are added is the driver's choice, and the same at each run.
fn lanes_sum(value: f32, lane: u32) -> f32 {
    let own = subgroupAdd(value);
    if (position.lane == 0u) { partial[position.subgroup] = own; }
    workgroupBarrier();
    var result = partial[0];
    for (var i = 1u; i < position.subgroups; i++) { result += partial[i]; }
    workgroupBarrier();
    return result;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let row = workgroup_index(group, groups);
    if (row >= params.rows) { return; }
    position = Position(subgroup, lane, subgroups);
    run(row, local);
}
