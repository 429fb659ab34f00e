// Eight rows of a tile for a subgroup of at least eight lanes: lane i loads row i of A, and the elements go round by broadcast. On adapters
// that run shaders on CPU cores each lane's load is a step of its own and costs most, and a broadcast costs almost nothing.
fn add8(sums: ptr<function, Sums>, at: u32, lane: u32, b: mat4x4<f32>) {
    multiply4(sums, quad_a(at + lane % 8u), b);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
    if (tile >= params.tiles) { return; }
    run(tile, lane);
}
