// Gradient of cross-entropy with respect to the logits:
//   dx[k] = dy (softmax(x)[k] - (1 - s) [k = t] - s / classes),      0 in ignored rows.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_index(workgroup_index(group, groups), local);
    if (row >= params.rows) { return; }
    let lane = lane_index(local);
    let first = row * params.classes;
    let target_class = i32(load_t(row));
    let ignored = params.ignores == 1u && target_class == params.ignore_index;
    let valid = target_class >= 0 && u32(target_class) < params.classes;
    if (lane == 0u && !ignored && !valid) { report_index(target_class, params.classes); }

    var largest = load_x(first);
    for (var k = lane; k < params.classes; k += LANES) {
        let x = load_x(first + k);
        if (is_nan(x) || x > largest) { largest = x; }
    }
    largest = lanes_max(largest, lane);

    var sum_exp = 0.0;
    for (var k = lane; k < params.classes; k += LANES) {
        sum_exp += safe_exp(load_x(first + k) - largest);
    }
    sum_exp = lanes_sum(sum_exp, lane);

    let dy = load_dy(row);
    for (var k = lane; k < params.classes; k += LANES) {
        var wanted = params.smoothing / f32(params.classes);
        if (i32(k) == target_class) { wanted += 1.0 - params.smoothing; }
        let dx = dy * (safe_exp(load_x(first + k) - largest) / sum_exp - wanted);
        store(first + k, select(dx, 0.0, ignored));
    }
}
