// The convolution of forward.wgsl for each group as C[o, (n, p)] = sum over (k, c) of A[o, (k, c)] B[(k, c), (n, p)], where
// A[o, (k, c)] = w[o, c, k] and B[(k, c), (n, p)] = x[n, c, p * stride + k * dilation - padding].
//
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/tiled_channels: Tap
// Needs of conv/tiled_columns: is_in, reach
// Needs of conv/window: STRIDE, input_size, output_size, padding, position, volume
// Needs of the generator: params.input_channels, params.output_channels, params.w_c, params.w_n, params.w_offset, params.x_c, params.x_d,
//     params.x_h, params.x_n, params.x_offset, params.x_w, x
// Gives: a_channel, a_start, b_channel, b_start, channels, column_of, result_size, row_step, source, tap_of
fn a_start(g: u32) -> u32 { return params.w_offset + g * params.output_channels * params.w_n; }
fn b_start(g: u32) -> u32 { return params.x_offset + g * params.input_channels * params.x_c; }
fn row_step() -> u32 { return params.w_n; }
fn channels() -> u32 { return params.input_channels; }
fn a_channel() -> u32 { return params.w_c; }
fn b_channel() -> u32 { return params.x_c; }
fn source(at: u32) -> f32 { return f32(x[at]); }

fn x_steps() -> vec3<u32> { return vec3<u32>(params.x_d, params.x_h, params.x_w); }

fn column_of(column: u32) -> Column {
    let n = quotient(column, volume(output_size()));
    let p = position(column - n * volume(output_size()), output_size());
    let corner = p * STRIDE - padding();
    return Column(n * params.x_n + reach(corner, x_steps()), corner);
}

// Positions before the first one wrap to huge ones, which are outside as well.
fn tap_of(column: Column, back: vec3<u32>) -> Tap {
    return Tap(column.start + reach(back, x_steps()), is_in(column.corner + back, input_size()));
}

fn result_size() -> vec3<u32> { return output_size(); }
