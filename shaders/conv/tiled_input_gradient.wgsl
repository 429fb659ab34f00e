// The gradient of input_gradient.wgsl for each group as C[c, (n, q)] = sum over (o, k) of A[c, (o, k)] B[(o, k), (n, q)], where
// A[c, (o, k)] = w[o, c, k] and B[(o, k), (n, q)] = dy[n, o, p]   with   p * stride + k * dilation - padding = q.
fn a_start(g: u32) -> u32 { return params.w_offset + g * params.output_channels * params.w_n; }
fn b_start(g: u32) -> u32 { return params.y_offset + g * params.output_channels * params.y_c; }
fn row_step() -> u32 { return params.w_c; }
fn a_element(at: u32) -> f32 { return f32(w[at]); }

fn step_of(k: u32) -> Step {
    let o = quotient(k, volume(kernel_size()));
    let tap = position(k - o * volume(kernel_size()), kernel_size());
    let w_step = vec3<u32>(params.w_d, params.w_h, params.w_w);
    return Step(o * params.w_n + dot(tap, w_step), o * params.y_c, tap * dilation());
}

fn column_of(column: u32) -> Column {
    let n = quotient(column, volume(input_size()));
    return Column(n * params.y_n, position(column - n * volume(input_size()), input_size()) + padding());
}

fn b_element(start: u32, column: Column, back: vec3<u32>) -> f32 {
    let p = (column.corner - back) / STRIDE;
    let meets = all(back <= column.corner) && all(p * STRIDE + back == column.corner) && all(p < output_size());
    if (!meets) { return 0.0; }
    return f32(y[start + column.start + dot(p, vec3<u32>(params.y_d, params.y_h, params.y_w))]);
}

fn result_size() -> vec3<u32> { return input_size(); }
fn result_channels() -> u32 { return params.input_channels; }
