// As segment_sum.wgsl, for rows so long that a segment may span several chunks: what lies before the first chunk boundary, the
// totals of the chunks inside, and what lies behind the last boundary, in this order.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let i = p % params.inner;
    let o = p / params.inner / params.size;
    let k = p / params.inner % params.size;
    let row = (o % params.row_outer) * params.row_inner + i % params.row_inner;
    let segment = params.starts + row * (params.size + 1u) + k;
    let start = order[segment];
    let end = order[segment + 1u];
    let first_chunk = (start + params.chunk - 1u) / params.chunk;
    let end_chunk = max(end / params.chunk, first_chunk);
    let head = min(first_chunk * params.chunk, end);
    let tail = max(min(end_chunk * params.chunk, end), head);
    var sum = T();
    for (var s = start; s < head; s += 1u) {
        sum += load_x((o * params.len + order[row * params.len + s]) * params.inner + i);
    }
    for (var c = first_chunk; c < end_chunk; c += 1u) {
        sum += totals[(o * params.chunks + c) * params.inner + i];
    }
    for (var s = tail; s < end; s += 1u) {
        sum += load_x((o * params.len + order[row * params.len + s]) * params.inner + i);
    }
    store(p, sum);
}
