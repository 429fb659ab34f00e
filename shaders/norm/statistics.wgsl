// What a row is normalised by: y = ((x - shift) - rest) * scale.
//
// x is seen as [outer, rows, inner]; a row is the n = outer * inner elements of one r. shift is the mean as f32 rounds
// it, and rest is the mean of x - shift, which the rounding left over: the corrected two-pass algorithm (Chan, Golub &
// LeVeque 1983, "Algorithms for computing the sample variance"). Data far from zero lose nothing that way.
struct Statistics {
    shift: f32,
    rest: f32,
    scale: f32,
}

// Place of element k of a row.
fn place(row: u32, k: u32) -> u32 {
    return (k / params.inner * params.rows + row) * params.inner + k % params.inner;
}

fn statistics(row: u32, lane: u32) -> Statistics {
    let n = f32(params.size);
    var shift = 0.0;
    if (RMS == 0u) {
        var sum = 0.0;
        for (var k = lane; k < params.size; k += LANES) {
            sum += load_x(place(row, k));
        }
        shift = lanes_sum(sum, lane) / n;
    }
    var rest = 0.0;
    var squares = 0.0;
    for (var k = lane; k < params.size; k += LANES) {
        let off = load_x(place(row, k)) - shift;
        rest += off;
        squares += off * off;
    }
    var variance = lanes_sum(squares, lane) / n;
    if (RMS == 0u) {
        rest = lanes_sum(rest, lane) / n;
        variance -= rest * rest;
        // Rounding can carry it below 0 where all elements are equal. NaN stays NaN.
        if (variance < 0.0) { variance = 0.0; }
    } else {
        rest = 0.0;
    }
    return Statistics(shift, rest, 1.0 / sqrt(variance + params.eps));
}

fn normalized(x: f32, s: Statistics) -> f32 {
    return ((x - s.shift) - s.rest) * s.scale;
}
