// The gradient of the largest elements, from x and the gradient dy of those elements; see pairs.wgsl. An invocation owns the input from the
// start of its two windows to the start of the next ones; behind the last window of a dim there is input that no window reads.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(cells()));
    let cell = position(i - n * volume(cells()), cells());
    var pair = Pair(Found(NOWHERE, 0.0), Found(NOWHERE, 0.0));
    var dy = vec2<f32>();
    if (all(cell.xy < output_size().xy)) {
        pair = search_pair(n, cell);
        let at = output_at(n, cell);
        dy = vec2<f32>(load_dy(at), load_dy(at + 1u));
    }
    let places = vec4<u32>(pair.first.place, pair.first.place, pair.second.place, pair.second.place);
    let corner = cell.xy * vec2<u32>(STRIDE_D, STRIDE_H);
    var size = min(vec2<u32>(STRIDE_D, STRIDE_H), input_size().xy - corner);
    if (WHOLE == 1u) { size = vec2<u32>(STRIDE_D, STRIDE_H); }
    for (var d = 0u; d < size.x; d += 1u) {
        for (var h = 0u; h < size.y; h += 1u) {
            let q = quad_at(n, cell, vec2<u32>(d, h));
            store(q, select(vec4<f32>(), dy.xxyy, q * 4u + vec4<u32>(0u, 1u, 2u, 3u) == places));
        }
    }
}
