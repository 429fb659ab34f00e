// Eight rows of a tile for adapters without subgroups: every invocation loads all of A that it needs.
//
// Needs of software/conv/product or software/conv/weight_product: run
// Needs of the generator: LANES, WORKGROUP, params.tiles, quad_a
// Gives: Sums, add8
struct Sums {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
    row4: vec4<f32>,
    row5: vec4<f32>,
    row6: vec4<f32>,
    row7: vec4<f32>,
}

fn add8(sums: ptr<function, Sums>, at: u32, lane: u32, b: mat4x4<f32>) {
    (*sums).row0 += b * quad_a(at);
    (*sums).row1 += b * quad_a(at + 1u);
    (*sums).row2 += b * quad_a(at + 2u);
    (*sums).row3 += b * quad_a(at + 3u);
    (*sums).row4 += b * quad_a(at + 4u);
    (*sums).row5 += b * quad_a(at + 5u);
    (*sums).row6 += b * quad_a(at + 6u);
    (*sums).row7 += b * quad_a(at + 7u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups) * (WORKGROUP / LANES) + local / LANES;
    if (tile >= params.tiles) { return; }
    run(tile, local % LANES);
}
