// Gradient of forward.wgsl with respect to x, from x and the gradient dy of the normalised rows; y is computed again:
//   layer:  dx = (dy - sum dy / n - y sum (dy y) / n) / sqrt(var + eps)
//   rms:    dx = (dy - y sum (dy y) / n) / sqrt(sum x^2 / n + eps)
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_index(workgroup_index(group, groups), local);
    if (row >= params.rows) { return; }
    let lane = lane_index(local);
    let s = statistics(row, lane);
    let n = f32(params.size);

    var mean = 0.0;
    var along = 0.0;
    for (var k = lane; k < params.size; k += LANES) {
        let i = place(row, k);
        let dy = load_dy(i);
        mean += dy;
        along += dy * normalized(load_x(i), s);
    }
    along = lanes_sum(along, lane) / n;
    if (RMS == 0u) {
        mean = lanes_sum(mean, lane) / n;
    } else {
        mean = 0.0;
    }

    for (var k = lane; k < params.size; k += LANES) {
        let i = place(row, k);
        store(i, s.scale * (load_dy(i) - mean - normalized(load_x(i), s) * along));
    }
}
