// The same as parameters_backward.wgsl, for rows that are too long to be held: an invocation walks down one part of a chunk of rows, with
// the statistics of the rows at hand.
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
