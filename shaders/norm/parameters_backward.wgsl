// Gradients of weight and bias in one walk over x and the gradient dy of the result, y being the normalised rows:
//   dweight[k] = sum over rows of dy[k] y[k],   dbias[k] = sum over rows of dy[k].
// The lanes that share a row take a chunk of rows and hold the sums of their parts; where there are several chunks, a stage adds them up.
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
