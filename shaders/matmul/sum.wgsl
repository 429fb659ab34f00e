// The second stage of a multiplication whose k was split: adds up the partial sums of each element of C, in order and by blocks, whose
// rounding errors grow less with their number.
//
// Needs of matmul/partial_sum_quads or matmul/partial_sums: partial_at
// Needs of the generator: WORKGROUP, params.count, params.splits, store
// Gives: BLOCK
const BLOCK: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.count) {
        return;
    }
    var sum = partial_at(i);
    for (var split = 1u; split < min(BLOCK, params.splits); split++) {
        sum += partial_at(split * params.count + i);
    }
    for (var first = BLOCK; first < params.splits; first += BLOCK) {
        var block = partial_at(first * params.count + i);
        for (var split = first + 1u; split < min(first + BLOCK, params.splits); split++) {
            block += partial_at(split * params.count + i);
        }
        sum += block;
    }
    store(i, sum);
}
