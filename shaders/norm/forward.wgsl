// Normalises each row of n elements (statistics.wgsl says what a row is), then scales and shifts it (parameters_*.wgsl):
//   layer:  y = (x - mean) / sqrt(var + eps),   mean = sum x / n,   var = sum (x - mean)^2 / n
//   rms:    y = x / sqrt(sum x^2 / n + eps)
// Layer norm (Ba, Kiros & Hinton 2016), group norm (Wu & He 2018) and batch norm (Ioffe & Szegedy 2015) differ in what
// a row is; RMS norm is Zhang & Sennrich 2019.
//
// Needs of norm/parameters_both or norm/parameters_none or norm/parameters_weight: affine, hold_parameters
// Needs of norm/statistics: normalized, part_of_x, place, statistics
// Needs of rows/parts: iterations
// Needs of the generator: LANES, params.all_rows, params.chunk, params.parts, store
// Gives: run
fn run(chunk: u32, lane: u32) {
    hold_parameters(lane);
    for (var r = 0u; r < params.chunk; r++) {
        let row = chunk * params.chunk + r;
        if (row >= params.all_rows) { break; }
        let s = statistics(row, lane);
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) { store(place(row, k), affine(normalized(part_of_x(row, h, k), s), h, k)); }
        }
    }
}
