// Gradient of cross-entropy with respect to the logits:
//   dx[k] = dy (softmax(x)[k] - (1 - s) [k = t] - s / classes),      0 in ignored rows.
//
// Needs of cross_entropy/statistics: held, statistics
// Needs of rows/parts: is_kept, iterations
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of, one_at
// Needs of the generator: LANES, load_dy, load_t, load_x, params.classes, params.ignore_index, params.ignores, params.parts,
//     params.smoothing, report_index, store
// Gives: run
fn run(row: u32, lane: u32) {
    let first = row * params.parts;
    let target_class = i32(load_t(row));
    let ignored = params.ignores == 1u && target_class == params.ignore_index;
    let valid = target_class >= 0 && u32(target_class) < params.classes;
    if (lane == 0u && !ignored && !valid) { report_index(target_class, params.classes); }
    let s = statistics(first, lane);
    let dy = load_dy(row);
    let uniform_part = params.smoothing / f32(params.classes);
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var e: Part;
            if (is_kept()) { e = held[h]; } else { e = exp_of(load_x(first + k) - s.largest); }
            let wanted = one_at(k, u32(target_class)) * (1.0 - params.smoothing) + uniform_part;
            let dx = dy * (e / s.sum_exp - wanted);
            if (ignored) { store(first + k, all_of(0.0)); } else { store(first + k, dx); }
        }
    }
}
