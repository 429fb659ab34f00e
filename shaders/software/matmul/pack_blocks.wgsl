// The same as pack.wgsl, for an operand whose elements lie contiguous, aligned to four, across the vec4s that are written: each
// invocation reads four neighbouring lines and writes their transpose. Offset and strides count vec4s.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: ALONG_K, LANES, WORKGROUP, params.blocks, params.line_stride, params.lines_inside, params.offset,
//     params.panels, params.quads_inside, params.steps, params.stride0, params.stride1, params.stride2, quad_source, store_packed
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.blocks) {
        return;
    }
    // A block spans four lanes of operand A, whose vec4s run along k, or four steps of operand B.
    let lanes = select(LANES, LANES / 4u, ALONG_K == 1u);
    let lane = i % lanes;
    let block = i / lanes;
    let panel = block / params.steps;
    let step = block - panel * params.steps;
    let batch = panel / params.panels;
    let start = params.offset + batch_offset(batch, params.stride0, params.stride1, params.stride2);
    let lane_u = (panel - batch * params.panels) * lanes + lane;
    // The vec4 along the contiguous dim, and the first of the four lines.
    let quad = select(step, lane_u, ALONG_K == 1u);
    let line = 4u * select(lane_u, step, ALONG_K == 1u);
    var block4: mat4x4<f32>;
    for (var j = 0u; j < 4u; j += 1u) {
        let inside = quad < params.quads_inside && line + j < params.lines_inside;
        let at = min(quad, params.quads_inside - 1u) + min(line + j, params.lines_inside - 1u) * params.line_stride;
        block4[j] = select(vec4<f32>(), quad_source(start + at), inside);
    }
    let turned = transpose(block4);
    let across = (panel * params.steps + step) * 4u * LANES + lane;
    let along = (panel * LANES + lane * 4u) * params.steps + step;
    let first = select(across, along, ALONG_K == 1u);
    let stride = select(LANES, params.steps, ALONG_K == 1u);
    store_packed(first, turned[0]);
    store_packed(first + stride, turned[1]);
    store_packed(first + 2u * stride, turned[2]);
    store_packed(first + 3u * stride, turned[3]);
}
