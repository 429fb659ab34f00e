// Cross-entropy of each row of logits x [rows, classes] with a class index t, with label smoothing s:
//   loss = ln sum e^x  -  (1 - s) x[t]  -  s / classes * sum x,      0 where t is the index to ignore.
// (Szegedy et al. 2016, section 7, for the smoothing.)
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

    var largest = load_x(first);
    for (var k = lane; k < params.classes; k += LANES) {
        let x = load_x(first + k);
        if (is_nan(x) || x > largest) { largest = x; }
    }
    largest = lanes_max(largest, lane);

    var sum_exp = 0.0;
    var sum_x = 0.0;
    for (var k = lane; k < params.classes; k += LANES) {
        let shifted = load_x(first + k) - largest;
        sum_exp += safe_exp(shifted);
        sum_x += shifted;
    }
    sum_exp = lanes_sum(sum_exp, lane);
    sum_x = lanes_sum(sum_x, lane);

    if (lane == 0u) {
        if (!ignored && !valid) { report_index(target_class, params.classes); }
        var loss = 0.0;
        if (!ignored && valid) {
            let chosen = load_x(first + u32(target_class)) - largest;
            loss = safe_log(sum_exp) - (1.0 - params.smoothing) * chosen;
            if (params.smoothing != 0.0) { loss -= params.smoothing / f32(params.classes) * sum_x; }
        }
        store(row, loss);
    }
}
