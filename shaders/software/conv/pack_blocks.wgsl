// Copies the source into lines of channels (see lines.wgsl) by blocks of four channels at four positions: four loads and four stores. For
// planes of a multiple of four positions.
//
// Needs of conv/window or window/taps: volume
// Needs of software/conv/tap_backward or software/conv/tap_forward: source_size
// Needs of the generator: WORKGROUP, load_source, params.items, params.quads, params.source_channels, store_lines
fn channel_quad(plane: u32, c: u32, at: u32) -> vec4<f32> {
    let is_inside = c < params.source_channels;
    let channel = plane * params.source_channels + select(0u, c, is_inside);
    let values = load_source(channel * (volume(source_size()) / 4u) + at);
    return select(vec4<f32>(), values, is_inside);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    // The line of zeros.
    if (i < params.quads) { store_lines(i, vec4<f32>()); }
    let n = quotient(i, params.quads);
    let quad = i - n * params.quads;
    let blocks = volume(source_size()) / 4u;
    let plane = quotient(n, blocks);
    let at = n - plane * blocks;
    let a = channel_quad(plane, quad * 4u, at);
    let b = channel_quad(plane, quad * 4u + 1u, at);
    let c = channel_quad(plane, quad * 4u + 2u, at);
    let d = channel_quad(plane, quad * 4u + 3u, at);
    let first = (n * 4u + 1u) * params.quads + quad;
    store_lines(first, vec4<f32>(a.x, b.x, c.x, d.x));
    store_lines(first + params.quads, vec4<f32>(a.y, b.y, c.y, d.y));
    store_lines(first + 2u * params.quads, vec4<f32>(a.z, b.z, c.z, d.z));
    store_lines(first + 3u * params.quads, vec4<f32>(a.w, b.w, c.w, d.w));
}
