// The gradient of input_gradient.wgsl for each group as C[c, (n, q)] = sum over (k, o) of A[c, (k, o)] B[(k, o), (n, q)], where
// A[c, (k, o)] = w[o, c, k] and B[(k, o), (n, q)] = dy[n, o, p]   with   p * stride + k * dilation - padding = q.
//
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/tiled_channels: Tap
// Needs of conv/tiled_columns: is_in, reach
// Needs of conv/window: STRIDE, input_size, output_size, padding, position, volume
// Needs of the generator: params.output_channels, params.w_c, params.w_n, params.w_offset, params.y_c, params.y_d, params.y_h,
//     params.y_n, params.y_offset, params.y_w, y
// Gives: a_channel, a_start, b_channel, b_start, channels, column_of, result_size, row_step, source, tap_of
fn a_start(g: u32) -> u32 { return params.w_offset + g * params.output_channels * params.w_n; }
fn b_start(g: u32) -> u32 { return params.y_offset + g * params.output_channels * params.y_c; }
fn row_step() -> u32 { return params.w_c; }
fn channels() -> u32 { return params.output_channels; }
fn a_channel() -> u32 { return params.w_n; }
fn b_channel() -> u32 { return params.y_c; }
fn source(at: u32) -> f32 { return f32(y[at]); }

fn column_of(column: u32) -> Column {
    let n = quotient(column, volume(input_size()));
    return Column(n * params.y_n, position(column - n * volume(input_size()), input_size()) + padding());
}

// Differences below 0 wrap to huge ones, which are outside as well.
fn tap_of(column: Column, back: vec3<u32>) -> Tap {
    let q = column.corner - back;
    let p = q / STRIDE;
    // Without depth both corner and tap are at 0 there.
    let there = is_in(p, output_size()) & all(p * STRIDE == q);
    return Tap(column.start + reach(p, vec3<u32>(params.y_d, params.y_h, params.y_w)), there);
}

fn result_size() -> vec3<u32> { return input_size(); }
