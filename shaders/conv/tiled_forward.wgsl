// The convolution of forward.wgsl for each group as C[o, (n, p)] = sum over (c, k) of A[o, (c, k)] B[(c, k), (n, p)], where
// A[o, (c, k)] = w[o, c, k] and B[(c, k), (n, p)] = x[n, c, p * stride + k * dilation - padding].
fn a_start(g: u32) -> u32 { return params.w_offset + g * params.output_channels * params.w_n; }
fn b_start(g: u32) -> u32 { return params.x_offset + g * params.input_channels * params.x_c; }
fn row_step() -> u32 { return params.w_n; }
fn a_element(at: u32) -> f32 { return f32(w[at]); }

fn step_of(k: u32) -> Step {
    let c = quotient(k, volume(kernel_size()));
    let tap = position(k - c * volume(kernel_size()), kernel_size());
    let w_step = vec3<u32>(params.w_d, params.w_h, params.w_w);
    return Step(c * params.w_c + dot(tap, w_step), c * params.x_c, tap * dilation());
}

fn column_of(column: u32) -> Column {
    let n = quotient(column, volume(output_size()));
    let p = position(column - n * volume(output_size()), output_size());
    return Column(n * params.x_n, p * STRIDE - padding());
}

fn result_size() -> vec3<u32> { return output_size(); }
fn result_channels() -> u32 { return params.output_channels; }
