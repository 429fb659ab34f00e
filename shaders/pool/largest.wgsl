// The largest element of each window of x [n, D, H, W]. This stage covers the taps start..end of each window; begin(i) is the place in
// the plane that the stages before found, and finish(i, place, value) passes it on.
//
// Needs of conv/window or window/taps: input_size, output_size, volume
// Needs of pool/adaptive or pool/sliding: reads
// Needs of pool/begin_nowhere or pool/begin_place: begin
// Needs of pool/finish_index or pool/finish_place or pool/finish_value: finish
// Needs of pool/found: Found, NOWHERE
// Needs of pool/search: search
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of the generator: WORKGROUP, load_x, params.end, params.start, params.total
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(output_size()));
    let plane = n * volume(input_size());
    let taps = reads(position(i - n * volume(output_size()), output_size()));
    var before = Found(begin(i), 0.0);
    if (before.place != NOWHERE) { before.value = load_x(plane + before.place); }
    let found = search(plane, taps, params.start, params.end, before);
    finish(i, found.place, found.value);
}
