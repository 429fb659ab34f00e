// The gradient of the largest elements, from x and the gradient dy of those elements; see pairs.wgsl. A pair owns the input from the start of
// its two windows to the start of the next ones; behind the last window of a dim there is input that no window reads.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let walk = walk(i);
    let width = params.out_w;
    let last = select(0u, params.out_h, walk.depth < params.out_d);
    let slices = select(min(STRIDE_D, params.in_d - walk.depth * STRIDE_D), STRIDE_D, WHOLE == 1u);
    let height = params.in_h;
    var input = walk.input;
    var output = walk.output;
    for (var row = walk.row; row < walk.end; row += 1u) {
        var pair = Pair(Found(NOWHERE, 0.0), Found(NOWHERE, 0.0));
        var dy = vec2<f32>();
        if (row < last) {
            pair = search_pair(walk, input);
            dy = vec2<f32>(load_dy(output), load_dy(output + 1u));
        }
        let places = vec4<u32>(pair.first.place, pair.first.place, pair.second.place, pair.second.place);
        let lines = select(min(STRIDE_H, height - row * STRIDE_H), STRIDE_H, WHOLE == 1u);
        for (var d = 0u; d < slices; d += 1u) {
            for (var h = 0u; h < lines; h += 1u) {
                let q = input + d * walk.slice_units + h * walk.row_units;
                store(q, select(vec4<f32>(), dy.xxyy, q * 4u + vec4<u32>(0u, 1u, 2u, 3u) == places));
            }
        }
        input += STRIDE_H * walk.row_units;
        output += width;
    }
}
