// Gradients of weight and bias in one walk over x and the gradient dy of the result, y being the normalised rows:
//   dweight[k] = sum over rows of dy[k] y[k],   dbias[k] = sum over rows of dy[k].
// The lanes that share a row take a chunk of rows and hold the sums of their parts; where there are several chunks, a stage adds them up.
//
// Needs of norm/statistics: normalized, part_of_x, place, statistics
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of rows/parts: iterations
// Needs of rows/quads or rows/scalars: Part, all_of
// Needs of the generator: HELD_SIZE, LANES, load_dy, params.all_rows, params.chunk, params.parts
// Gives: run
fn run(chunk: u32, lane: u32) {
    var weights: array<Part, HELD_SIZE>;
    var biases: array<Part, HELD_SIZE>;
    for (var h = 0u; h < iterations(); h++) {
        weights[h] = all_of(0.0);
        biases[h] = all_of(0.0);
    }
    for (var r = 0u; r < params.chunk; r++) {
        let row = chunk * params.chunk + r;
        if (row >= params.all_rows) { break; }
        let s = statistics(row, lane);
        for (var h = 0u; h < iterations(); h++) {
            let k = h * LANES + lane;
            if (k < params.parts) {
                let dy = load_dy(place(row, k));
                weights[h] += dy * normalized(part_of_x(row, h, k), s);
                biases[h] += dy;
            }
        }
    }
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            finish(chunk * 2u * params.parts + k, weights[h]);
            finish((chunk * 2u + 1u) * params.parts + k, biases[h]);
        }
    }
}
