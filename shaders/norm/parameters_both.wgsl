// A weight and a bias for each element of a row.
//
// Needs of rows/parts: is_kept, iterations
// Needs of rows/quads or rows/scalars: Part
// Needs of the generator: HELD_SIZE, LANES, load_bias, load_weight, params.parts
// Gives: affine, hold_parameters, weights
var<private> weights: array<Part, HELD_SIZE>;
var<private> biases: array<Part, HELD_SIZE>;

// Loads the lane's parts once for all rows that it takes part in.
fn hold_parameters(lane: u32) {
    if (!is_kept()) { return; }
    for (var h = 0u; h < iterations(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            weights[h] = load_weight(k);
            biases[h] = load_bias(k);
        }
    }
}

fn affine(y: Part, h: u32, k: u32) -> Part {
    if (is_kept()) { return y * weights[h] + biases[h]; }
    return y * load_weight(k) + load_bias(k);
}
