// Puts overlapping windows back along one dim and adds where they overlap: the transpose of unfold, and so its gradient.
//   y[o, i, r] = sum over j of x[o, j, r, i - j * step]   with   0 <= i - j * step < size,
// with x [outer, windows, inner, size] and y [outer, length, inner], in ascending j.
// This stage covers `chunk` of the windows that reach i, from the one numbered `start` among them: begin(p) is the sum of the
// stages before, finish(p, sum) passes it on.
//
// Needs of attention/tiles or pool/begin_nowhere or pool/begin_place or sums/begin_sum or sums/begin_zero: begin
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: WORKGROUP, load_x, params.chunk, params.inner, params.length, params.size, params.start, params.step,
//     params.total, params.windows
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let r = p % params.inner;
    let i = p / params.inner % params.length;
    let o = p / params.inner / params.length;
    // Windows first..end reach i.
    var first = 0u;
    if (i >= params.size) { first = (i - params.size) / params.step + 1u; }
    let end = min(i / params.step + 1u, params.windows);
    var sum = begin(p);
    for (var turn = 0u; turn < params.chunk; turn++) {
        let j = first + params.start + turn;
        if (j >= end) { break; }
        sum += load_x(((o * params.windows + j) * params.inner + r) * params.size + i - j * params.step);
    }
    finish(p, sum);
}
