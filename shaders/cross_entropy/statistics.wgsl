// What forward and backward need of a row of logits: its largest element m, sum e^(x - m), and sum (x - middle). Rows that are held are
// walked over twice, others once: a larger element that comes along rescales what has been summed so far (online softmax: Milakov &
// Gimelshein 2018, "Online normalizer calculation for softmax").
//
// Needs of rows/parts: is_kept, iterations, no_sum, scaled, value_of, with_term
// Needs of rows/quads or rows/scalars: Part, all_of, exp_of, larger, largest_of
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_max, lanes_sum
// Needs of the generator: HELD_SIZE, LANES, load_x, params.parts, params.smoothing
// Gives: held, statistics
struct Statistics {
    largest: f32,
    sum_exp: f32,
    middle: f32,
    sum_off: f32,
}

// The lane's parts of e^(x - m), where they are held.
var<private> held: array<Part, HELD_SIZE>;

fn held_statistics(first: u32, lane: u32) -> Statistics {
    var top = all_of(-infinity());
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k);
            held[h] = x;
            top = larger(top, x);
        }
    }
    let largest = lanes_max(largest_of(top), lane);
    var exps = no_sum();
    var offs = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let off = held[h] - largest;
            held[h] = exp_of(off);
            exps = with_term(exps, h, held[h]);
            offs = with_term(offs, h, off);
        }
    }
    return Statistics(largest, lanes_sum(value_of(exps), lane), largest, lanes_sum(value_of(offs), lane));
}

fn walked_statistics(first: u32, lane: u32) -> Statistics {
    // Some element of the row, so that rows far from 0 lose nothing.
    let start = largest_of(load_x(first));
    let middle = select(0.0, start, is_finite(start));
    var largest = -3.4028234e38;
    var exps = no_sum();
    var offs = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = load_x(first + k);
            let top = largest_of(x);
            if (is_nan(top) || top > largest) {
                exps = scaled(exps, safe_exp(largest - top));
                largest = top;
            }
            exps = with_term(exps, h, exp_of(x - largest));
            if (params.smoothing != 0.0) { offs = with_term(offs, h, x - middle); }
        }
    }
    let all = lanes_max(largest, lane);
    let sum_exp = lanes_sum(value_of(exps) * safe_exp(largest - all), lane);
    return Statistics(all, sum_exp, middle, lanes_sum(value_of(offs), lane));
}

fn statistics(first: u32, lane: u32) -> Statistics {
    if (is_kept()) { return held_statistics(first, lane); }
    return walked_statistics(first, lane);
}
