// The same as parameters_backward.wgsl, for rows that are too long to be held: an invocation walks down one part of a chunk of rows, with
// the statistics of the rows at hand.
//
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of rows/quads or rows/scalars: all_of
// Needs of the generator: WORKGROUP, load_dy, load_x, params.all_rows, params.chunk, params.items, params.parts, quad_rows
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    let chunk = quotient(i, params.parts);
    let k = i - chunk * params.parts;
    var weight = all_of(0.0);
    var bias = all_of(0.0);
    let first = chunk * params.chunk;
    for (var row = first; row < min(first + params.chunk, params.all_rows); row++) {
        let s = quad_rows(row);
        let dy = load_dy(row * params.parts + k);
        weight += dy * (((load_x(row * params.parts + k) - s.x) - s.y) * s.z);
        bias += dy;
    }
    finish(chunk * 2u * params.parts + k, weight);
    finish((chunk * 2u + 1u) * params.parts + k, bias);
}
