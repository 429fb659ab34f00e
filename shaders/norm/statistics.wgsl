// What a row is normalised by: y = ((x - shift) - rest) * scale.
//
// x is seen as [outer, rows, inner]; a row is the n = outer * inner elements of one r. shift is the mean as f32 rounds
// it, and rest is the mean of x - shift, which the rounding left over: the corrected two-pass algorithm (Chan, Golub &
// LeVeque 1983, "Algorithms for computing the sample variance"). Data far from zero lose nothing that way.
//
// Needs of rows/parts: is_kept, iterations, no_sum, value_of, with_term
// Needs of rows/quads or rows/scalars: Part
// Needs of rows/row_per_workgroup or rows/row_per_workgroup_subgroups: lanes_sum
// Needs of the generator: HELD_SIZE, LANES, RMS, WHOLE, load_x, params.eps, params.inner, params.parts, params.rows, params.size
// Gives: held, normalized, part_of_x, place, statistics
struct Statistics {
    shift: f32,
    rest: f32,
    scale: f32,
}

// The lane's parts of the row, where they are held.
var<private> held: array<Part, HELD_SIZE>;

// Place of part k of a row; `inner` counts parts.
fn place(row: u32, k: u32) -> u32 {
    if (WHOLE == 1u) { return row * params.parts + k; }
    return (k / params.inner * params.rows + row) * params.inner + k % params.inner;
}

// Part k = h * LANES + lane of the row.
fn part_of_x(row: u32, h: u32, k: u32) -> Part {
    if (is_kept()) { return held[h]; }
    return load_x(place(row, k));
}

fn statistics(row: u32, lane: u32) -> Statistics {
    let n = f32(params.size);
    var sums = no_sum();
    if (RMS == 0u || is_kept()) {
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) {
                let x = load_x(place(row, k));
                if (is_kept()) { held[h] = x; }
                sums = with_term(sums, h, x);
            }
        }
    }
    var shift = 0.0;
    if (RMS == 0u) { shift = lanes_sum(value_of(sums), lane) / n; }
    var off = no_sum();
    var squares = no_sum();
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let x = part_of_x(row, h, k) - shift;
            off = with_term(off, h, x);
            squares = with_term(squares, h, x * x);
        }
    }
    var variance = lanes_sum(value_of(squares), lane) / n;
    var rest = 0.0;
    if (RMS == 0u) {
        rest = lanes_sum(value_of(off), lane) / n;
        variance -= rest * rest;
        // Rounding can carry it below 0 where all elements are equal. NaN stays NaN.
        if (variance < 0.0) { variance = 0.0; }
    }
    return Statistics(shift, rest, 1.0 / sqrt(variance + params.eps));
}

fn normalized(x: Part, s: Statistics) -> Part {
    return ((x - s.shift) - s.rest) * s.scale;
}
