// The same as pack.wgsl, for an operand whose elements lie contiguous, aligned to four, along the vec4s that are written;
// offset and strides count vec4s.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: ALONG_K, LANES, WORKGROUP, params.lane_stride, params.lanes, params.offset, params.panels, params.quads,
//     params.step_stride, params.steps, params.steps_inside, params.stride0, params.stride1, params.stride2, quad_source, store_packed
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.quads) {
        return;
    }
    let lane = select(i % LANES, i / params.steps % LANES, ALONG_K == 1u);
    let step = select(i / LANES % params.steps, i % params.steps, ALONG_K == 1u);
    let panel = i / LANES / params.steps;
    let lane_u = panel % params.panels * LANES + lane;
    let batch = panel / params.panels;
    let start = params.offset + batch_offset(batch, params.stride0, params.stride1, params.stride2);
    let inside = lane_u < params.lanes && step < params.steps_inside;
    let first = start + min(lane_u, params.lanes - 1u) * params.lane_stride
        + min(step, params.steps_inside - 1u) * params.step_stride;
    store_packed(i, select(vec4<f32>(), quad_source(first), inside));
}
