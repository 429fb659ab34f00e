// The entry point for adapters with subgroups, of which each has a tile.
//
// Needs of software/conv/product or software/conv/weight_product: run
// Needs of the generator: LANES, WORKGROUP, params.tiles
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
