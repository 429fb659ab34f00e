// Cross-entropy of each row of logits x [rows, classes] with a class index t, with label smoothing s:
//   loss = ln sum e^x  -  (1 - s) x[t]  -  s / classes * sum x,      0 where t is the index to ignore.
// (Szegedy et al. 2016, section 7, for the smoothing.)
//
// Needs of cross_entropy/statistics: statistics
// Needs of the generator: load_logit, load_t, params.classes, params.ignore_index, params.ignores, params.parts, params.smoothing,
//     report_index, store
// Gives: run
fn run(row: u32, lane: u32) {
    let target_class = i32(load_t(row));
    let ignored = params.ignores == 1u && target_class == params.ignore_index;
    let valid = target_class >= 0 && u32(target_class) < params.classes;
    let s = statistics(row * params.parts, lane);
    if (lane == 0u) {
        if (!ignored && !valid) { report_index(target_class, params.classes); }
        var loss = 0.0;
        if (!ignored && valid) {
            let chosen = load_logit(row * params.classes + u32(target_class)) - s.largest;
            loss = safe_log(s.sum_exp) - (1.0 - params.smoothing) * chosen;
            if (params.smoothing != 0.0) {
                loss -= params.smoothing * (s.sum_off / f32(params.classes) - (s.largest - s.middle));
            }
        }
        store(row, loss);
    }
}
