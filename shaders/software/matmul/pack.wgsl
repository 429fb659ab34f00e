// Copies the matrices of one operand into panels, so that the multiplication reads memory in one direct line:
// packed[batch][panel][step][lane] is a vec4 for operand B, packed[batch][panel][lane][step] for operand A, whose rows so become contiguous;
// each invocation writes one.
//
// A matrix is walked by `u` (row of A, column of B) and by `k`. With ALONG_K = 1 (operand A) a lane is one u and a step is
// four k; the vec4 runs along k. With ALONG_K = 0 (operand B) a lane is four u, a step one k; the vec4 runs along u.
// Elements outside the matrix are zero, so that sizes need not be multiples of the panel's.
//
// Needs of matmul/batch: batch_offset
// Needs of the generator: ALONG_K, LANES, WORKGROUP, element_source, params.k, params.k_stride, params.offset, params.panels,
//     params.quads, params.steps, params.stride0, params.stride1, params.stride2, params.u, params.u_stride, store_packed
// Gives: element
fn element(start: u32, u: u32, k: u32) -> f32 {
    let inside = u < params.u && k < params.k;
    let i = start + min(u, params.u - 1u) * params.u_stride + min(k, params.k - 1u) * params.k_stride;
    return select(0.0, element_source(i), inside);
}

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
    let u = select(lane_u * 4u, lane_u, ALONG_K == 1u);
    let k = select(step, step * 4u, ALONG_K == 1u);
    let du = select(1u, 0u, ALONG_K == 1u);
    let dk = select(0u, 1u, ALONG_K == 1u);
    store_packed(i, vec4<f32>(
        element(start, u, k),
        element(start, u + du, k + dk),
        element(start, u + 2u * du, k + 2u * dk),
        element(start, u + 3u * du, k + 3u * dk),
    ));
}
