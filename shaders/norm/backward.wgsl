// Gradient of forward.wgsl with respect to x, from x and the gradient of the result; y, the normalised row, is computed again, and dy is
// that gradient times the weight:
//   layer:  dx = (dy - sum dy / n - y sum (dy y) / n) / sqrt(var + eps)
//   rms:    dx = (dy - y sum (dy y) / n) / sqrt(sum x^2 / n + eps)
//
// Needs of norm/parameters_both or norm/parameters_none or norm/parameters_weight: hold_parameters
// Needs of norm/parameters_none or norm/parameters_weight: scaled
// Needs of norm/statistics: normalized, part_of_x, place, statistics
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, RMS, load_dy, params.all_rows, params.chunk, params.parts, params.size, store
// Gives: run
fn run(chunk: u32, lane: u32) {
    hold_parameters(lane);
    for (var r = 0u; r < params.chunk; r++) {
        let row = chunk * params.chunk + r;
        if (row >= params.all_rows) { break; }
        row_gradient(row, lane);
    }
}

fn row_gradient(row: u32, lane: u32) {
    let s = statistics(row, lane);
    let n = f32(params.size);
    var held_dy: array<Part, HELD_SIZE>;

    var sums = no_sum();
    var products = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let dy = scaled(load_dy(place(row, k)), h, k);
            if (is_kept()) { held_dy[h] = dy; }
            sums = with_term(sums, h, dy);
            products = with_term(products, h, dy * normalized(part_of_x(row, h, k), s));
        }
    }
    let along = lanes_sum(value_of(products), lane) / n;
    var mean = 0.0;
    if (RMS == 0u) { mean = lanes_sum(value_of(sums), lane) / n; }

    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = place(row, k);
            var dy: Part;
            if (is_kept()) { dy = held_dy[h]; } else { dy = scaled(load_dy(i), h, k); }
            store(i, s.scale * (dy - mean - normalized(part_of_x(row, h, k), s) * along));
        }
    }
}
