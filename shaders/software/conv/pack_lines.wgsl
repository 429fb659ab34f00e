// Copies the source into lines (see lines.wgsl), so that four elements of a line are one load.
//
// Needs of conv/window or window/taps: volume
// Needs of software/conv/lines: element_of, lines_size
// Needs of software/conv/tap_backward or software/conv/tap_forward: source_size, tap_of
// Needs of the generator: LINES, WORKGROUP, load_source, params.items, params.quads, params.source_channels, store_lines
fn source_element(plane: u32, at: u32, e: u32) -> f32 {
    let element = element_of(e);
    var inside = element.c < params.source_channels;
    var i = at;
    if (LINES == 1u) {
        let row = quotient(at, lines_size().z);
        let tap = tap_of(vec3<u32>(0u, 0u, at - row * lines_size().z), vec3<u32>(0u, 0u, element.k));
        inside = inside && tap.inside.z;
        i = row * source_size().z + tap.at.z;
    }
    let channel = plane * params.source_channels + element.c;
    if (!inside) { return 0.0; }
    return load_source(channel * volume(source_size()) + i);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    let n = quotient(i, params.quads);
    if (n == 0u) {
        store_lines(i, vec4<f32>());
        return;
    }
    let plane = quotient(n - 1u, volume(lines_size()));
    let at = n - 1u - plane * volume(lines_size());
    let e = (i - n * params.quads) * 4u;
    store_lines(i, vec4<f32>(
        source_element(plane, at, e),
        source_element(plane, at, e + 1u),
        source_element(plane, at, e + 2u),
        source_element(plane, at, e + 3u),
    ));
}
