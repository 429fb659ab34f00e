// The largest element of each window, on a walk (see walk.wgsl) by pairs of windows or single ones.
//
// Needs of pool/pairs_forward or pool/singles_forward: put_largest
// Needs of the generator: STRIDE_H, WORKGROUP, params.out_w, params.total
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let walk = walk(i);
    let width = params.out_w;
    var input = walk.input;
    var output = walk.output;
    for (var row = walk.row; row < walk.end; row += 1u) {
        put_largest(walk, input, output);
        input += STRIDE_H * walk.row_units;
        output += width;
    }
}
