// Down-sweep of a blocked scan: each invocation walks one chunk of up to CHUNK elements along the dim, from what all chunks
// before it combine to:  y[k] = combine(y[k - 1], x[k]).
//
// Needs of scan/affine or scan/extreme or scan/logsumexp or scan/prod or scan/sum: combine
// Needs of scan/before_none or scan/before_prefix or scan/before_prefix_affine: before
// Needs of scan/element_affine or scan/element_parts or scan/element_place or scan/element_x: element
// Needs of scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine:
//     finish
// Needs of the generator: CHUNK, WORKGROUP, params.chunks, params.inner, params.len, params.row_len, params.total
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let i = p % params.inner;
    let chunk = p / params.inner % params.chunks;
    let o = p / params.inner / params.chunks;
    let row = o * params.row_len * params.inner + i; // first element of the row in the scan's operand
    let first = o * params.len * params.inner + i; // and in what this stage reads and writes
    let start = chunk * CHUNK;
    let end = start + min(CHUNK, params.len - start);
    var total = element(first + start * params.inner, start);
    if (chunk > 0u) { total = combine(before(p - params.inner), total, row); }
    finish(first + start * params.inner, total);
    for (var k = start + 1u; k < end; k += 1u) {
        total = combine(total, element(first + k * params.inner, k), row);
        finish(first + k * params.inner, total);
    }
}
