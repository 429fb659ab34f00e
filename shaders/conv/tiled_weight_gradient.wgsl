// The gradient of weight_gradient.wgsl for each group as C[o, (c, k)] = sum over (n, p) of A[o, (n, p)] B[(n, p), (c, k)], where
// A[o, (n, p)] = dy[n, o, p] and B[(n, p), (c, k)] = x[n, c, p * stride + k * dilation - padding].
fn a_start(g: u32) -> u32 { return params.y_offset + g * params.output_channels * params.y_c; }
fn b_start(g: u32) -> u32 { return params.x_offset + g * params.input_channels * params.x_c; }
fn row_step() -> u32 { return params.y_c; }
fn a_element(at: u32) -> f32 { return f32(y[at]); }

fn step_of(k: u32) -> Step {
    let n = quotient(k, volume(output_size()));
    let p = position(k - n * volume(output_size()), output_size());
    let y_step = vec3<u32>(params.y_d, params.y_h, params.y_w);
    return Step(n * params.y_n + dot(p, y_step), n * params.x_n, p * STRIDE);
}

fn column_of(column: u32) -> Column {
    let c = quotient(column, volume(kernel_size()));
    let tap = position(column - c * volume(kernel_size()), kernel_size());
    return Column(c * params.x_c, tap * dilation() - padding());
}

// Stores up to four neighbouring columns of a row; `matrix` counts the groups of each part of the sum.
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let slot = matrix / params.groups;
    let o = (matrix - slot * params.groups) * params.output_channels + row;
    for (var j = 0u; j < min(4u, params.n - column); j++) {
        finish(slot * params.total + o * params.n + column + j, values[j]);
    }
}
