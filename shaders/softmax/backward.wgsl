// Gradients of softmax and log-softmax from their outputs, a row at a time:
//   softmax:      dx = y (dy - sum dy y)
//   log-softmax:  dx = dy - e^y sum dy
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_index(workgroup_index(group, groups), local);
    if (row >= params.rows) { return; }
    let lane = lane_index(local);
    let first = (row / params.inner) * params.size * params.inner + row % params.inner;

    var sum = 0.0;
    for (var k = lane; k < params.size; k += LANES) {
        let i = first + k * params.inner;
        if (LOG == 1u) {
            sum += load_dy(i);
        } else {
            sum += load_dy(i) * load_y(i);
        }
    }
    sum = lanes_sum(sum, lane);

    for (var k = lane; k < params.size; k += LANES) {
        let i = first + k * params.inner;
        let y = load_y(i);
        if (LOG == 1u) {
            store(i, load_dy(i) - safe_exp(y) * sum);
        } else {
            store(i, y * (load_dy(i) - sum));
        }
    }
}
