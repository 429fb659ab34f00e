// The gradient of the largest elements, from x and the gradient dy of those elements, where windows do not overlap; on a walk (see walk.wgsl) by
// pairs of windows or single ones. A window owns the input from its start to the start of the next one; behind the last window of a dim there
// is input that no window reads.
//
// Needs of pool/pairs_backward or pool/singles_backward: Passed, passed, put_row
// Needs of the generator: STRIDE_D, STRIDE_H, STRIDE_W, WHOLE, WORKGROUP, params.in_d, params.in_h, params.in_w, params.out_d,
//     params.out_h, params.out_w, params.total
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
    let last = select(0u, params.out_h, walk.depth < params.out_d && walk.column < params.out_w);
    let slices = select(min(STRIDE_D, params.in_d - walk.depth * STRIDE_D), STRIDE_D, WHOLE == 1u);
    let columns = select(min(STRIDE_W, params.in_w - walk.column * STRIDE_W), STRIDE_W, WHOLE == 1u);
    let height = params.in_h;
    var input = walk.input;
    var output = walk.output;
    for (var row = walk.row; row < walk.end; row += 1u) {
        var what = Passed();
        if (row < last) { what = passed(walk, input, output); }
        let lines = select(min(STRIDE_H, height - row * STRIDE_H), STRIDE_H, WHOLE == 1u);
        for (var d = 0u; d < slices; d += 1u) {
            for (var h = 0u; h < lines; h += 1u) {
                put_row(what, input + d * walk.slice_units + h * walk.row_units, columns);
            }
        }
        input += STRIDE_H * walk.row_units;
        output += width;
    }
}
