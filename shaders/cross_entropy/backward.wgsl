// Gradient of cross-entropy with respect to the logits:
//   dx[k] = dy (softmax(x)[k] - (1 - s) [k = t] - s / classes),      0 in ignored rows.
fn run(row: u32, lane: u32) {
    let first = row * params.parts;
    let target_class = i32(load_t(row));
    let ignored = params.ignores == 1u && target_class == params.ignore_index;
    let valid = target_class >= 0 && u32(target_class) < params.classes;
    if (lane == 0u && !ignored && !valid) { report_index(target_class, params.classes); }
    var held: array<Part, HELD_SIZE>;

    var top = all_of(-infinity());
    for (var h = 0u; h < turns(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k);
            if (is_kept()) { held[h] = x; }
            top = larger(top, x);
        }
    }
    let largest = lanes_max(largest_of(top), lane);

    var sums_exp = all_of(0.0);
    for (var h = 0u; h < turns(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var x: Part;
            if (is_kept()) { x = held[h]; } else { x = load_x(first + k); }
            let e = exp_of(x - largest);
            if (is_kept()) { held[h] = e; }
            sums_exp += e;
        }
    }
    let sum_exp = lanes_sum(total(sums_exp), lane);

    let dy = load_dy(row);
    for (var h = 0u; h < turns(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var e: Part;
            if (is_kept()) { e = held[h]; } else { e = exp_of(load_x(first + k) - largest); }
            let uniform_part = params.smoothing / f32(params.classes);
            let wanted = one_at(k, u32(target_class)) * (1.0 - params.smoothing) + uniform_part;
            let dx = dy * (e / sum_exp - wanted);
            if (ignored) { store(first + k, all_of(0.0)); } else { store(first + k, dx); }
        }
    }
}
