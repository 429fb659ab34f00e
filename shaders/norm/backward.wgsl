// Gradient of forward.wgsl with respect to x, from x and the gradient dy of the normalised rows; y is computed again:
//   layer:  dx = (dy - sum dy / n - y sum (dy y) / n) / sqrt(var + eps)
//   rms:    dx = (dy - y sum (dy y) / n) / sqrt(sum x^2 / n + eps)
fn run(row: u32, lane: u32) {
    let s = statistics(row, lane);
    let n = f32(params.size);
    var held_dy: array<Part, HELD_SIZE>;

    var sums = all_of(0.0);
    var products = all_of(0.0);
    for (var h = 0u; h < turns(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let dy = load_dy(place(row, k));
            if (is_kept()) { held_dy[h] = dy; }
            sums += dy;
            products += dy * normalized(part_of_x(row, h, k), s);
        }
    }
    let along = lanes_sum(total(products), lane) / n;
    var mean = 0.0;
    if (RMS == 0u) { mean = lanes_sum(total(sums), lane) / n; }

    for (var h = 0u; h < turns(); h++) {
        let k = h * LANES + lane;
        if (k < params.parts) {
            let i = place(row, k);
            var dy: Part;
            if (is_kept()) { dy = held_dy[h]; } else { dy = load_dy(i); }
            store(i, s.scale * (dy - mean - normalized(part_of_x(row, h, k), s) * along));
        }
    }
}
