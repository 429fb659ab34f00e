// Softmax or log-softmax along one dim of x seen as [outer, size, inner]; a row is one (outer, inner):
//   m = max x,   s = sum e^(x - m),   y = e^(x - m) / s   or   y = x - m - ln s.
// The maximum is subtracted so that nothing overflows (Goodfellow, Bengio & Courville 2016, section 4.1).
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

    var largest = load_x(first);
    for (var k = lane; k < params.size; k += LANES) {
        let x = load_x(first + k * params.inner);
        if (is_nan(x) || x > largest) { largest = x; }
    }
    largest = lanes_max(largest, lane);

    var sum = 0.0;
    for (var k = lane; k < params.size; k += LANES) {
        sum += safe_exp(load_x(first + k * params.inner) - largest);
    }
    sum = lanes_sum(sum, lane);

    let log_sum = safe_log(sum);
    for (var k = lane; k < params.size; k += LANES) {
        let i = first + k * params.inner;
        let shifted = load_x(i) - largest;
        if (LOG == 1u) {
            store(i, shifted - log_sum);
        } else {
            store(i, safe_exp(shifted) / sum);
        }
    }
}
