// Cross-entropy of each row of logits x [rows, classes] with a class index t, with label smoothing s:
//   loss = ln sum e^x  -  (1 - s) x[t]  -  s / classes * sum x,      0 where t is the index to ignore.
// (Szegedy et al. 2016, section 7, for the smoothing.)
fn run(row: u32, lane: u32) {
    let first = row * params.parts;
    let target_class = i32(load_t(row));
    let ignored = params.ignores == 1u && target_class == params.ignore_index;
    let valid = target_class >= 0 && u32(target_class) < params.classes;
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
    var sums_x = all_of(0.0);
    for (var h = 0u; h < turns(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var x: Part;
            if (is_kept()) { x = held[h]; } else { x = load_x(first + k); }
            let shifted = x - largest;
            sums_exp += exp_of(shifted);
            sums_x += shifted;
        }
    }
    let sum_exp = lanes_sum(total(sums_exp), lane);
    let sum_x = lanes_sum(total(sums_x), lane);

    if (lane == 0u) {
        if (!ignored && !valid) { report_index(target_class, params.classes); }
        var loss = 0.0;
        if (!ignored && valid) {
            let chosen = load_logit(row * params.classes + u32(target_class)) - largest;
            loss = safe_log(sum_exp) - (1.0 - params.smoothing) * chosen;
            if (params.smoothing != 0.0) { loss -= params.smoothing / f32(params.classes) * sum_x; }
        }
        store(row, loss);
    }
}
