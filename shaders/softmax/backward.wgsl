// Gradients of softmax and log-softmax from their outputs, a row at a time:
//   softmax:      dx = y (dy - sum dy y)
//   log-softmax:  dx = dy - e^y sum dy
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, LOG, load_dy, load_y, params.inner, params.parts, store
// Gives: run
fn run(row: u32, lane: u32) {
    let first = (row / params.inner) * params.parts * params.inner + row % params.inner;
    var held_y: array<Part, HELD_SIZE>;
    var held_dy: array<Part, HELD_SIZE>;

    var sums = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = first + k * params.inner;
            let dy = load_dy(i);
            if (is_kept()) { held_dy[h] = dy; }
            if (LOG == 1u) {
                sums = with_term(sums, h, dy);
            } else {
                let y = load_y(i);
                if (is_kept()) { held_y[h] = y; }
                sums = with_term(sums, h, dy * y);
            }
        }
    }
    let sum = all_of(lanes_sum(value_of(sums), lane));

    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = first + k * params.inner;
            var dy: Part;
            if (is_kept()) { dy = held_dy[h]; } else { dy = load_dy(i); }
            if (LOG == 1u) {
                store(i, dy - exp_of(load_y(i)) * sum);
            } else {
                var y: Part;
                if (is_kept()) { y = held_y[h]; } else { y = load_y(i); }
                store(i, y * (dy - sum));
            }
        }
    }
}
