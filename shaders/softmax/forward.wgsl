// Softmax or log-softmax along one dim of x seen as [outer, size, inner]; a row is one (outer, inner):
//   m = max x,   s = sum e^(x - m),   y = e^(x - m) / s   or   y = x - m - ln s.
// The maximum is subtracted so that nothing overflows (Goodfellow, Bengio & Courville 2016, section 4.1).
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of, larger, largest_of
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_max, lanes_sum
// Needs of the generator: HELD_SIZE, LANES, LOG, load_x, params.inner, params.parts, store
// Gives: run
fn run(row: u32, lane: u32) {
    let first = (row / params.inner) * params.parts * params.inner + row % params.inner;
    var held: array<Part, HELD_SIZE>;

    var top = all_of(-infinity());
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k * params.inner);
            if (is_kept()) { held[h] = x; }
            top = larger(top, x);
        }
    }
    let largest = all_of(lanes_max(largest_of(top), lane));

    var sums = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            var x: Part;
            if (is_kept()) { x = held[h]; } else { x = load_x(first + k * params.inner); }
            let e = exp_of(x - largest);
            // A log-softmax needs x once more.
            if (is_kept() && LOG == 0u) { held[h] = e; }
            sums = with_term(sums, h, e);
        }
    }
    let sum = lanes_sum(value_of(sums), lane);

    let log_sum = all_of(safe_log(sum));
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = first + k * params.inner;
            var x: Part;
            if (is_kept()) { x = held[h]; } else { x = load_x(i); }
            if (LOG == 1u) {
                store(i, x - largest - log_sum);
            } else if (is_kept()) {
                store(i, x / sum);
            } else {
                store(i, exp_of(x - largest) / sum);
            }
        }
    }
}
