// The convolution of forward.wgsl where few output channels share a group (a depthwise convolution has one), so that there is nothing
// to share between channels:
//   y[n, o, p] = sum over c, k of w[o, c, k] x[n, c, p * stride + k * dilation - padding].
//
// An invocation has a column of eight outputs. Taps of a column of the kernel that are STRIDE_H apart meet the same rows of x, each one
// row further than the one before. The dilation along the height is 1.
//
// Needs of conv/column: COLUMN, add_product, move_up
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/column or conv/tiled_positions_each or conv/tiled_positions_quads: put
// Needs of conv/window: STRIDE, dilation, input_size, output_size, padding, position, volume
// Needs of the generator: STRIDE_H, WORKGROUP, params.groups, params.input_channels, params.input_h, params.items, params.kernel_d,
//     params.kernel_h, params.kernel_w, params.output_channels, params.output_d, params.output_h, params.output_w, params.result_d,
//     params.result_h, params.result_w, params.w_c, params.w_d, params.w_h, params.w_n, params.w_offset, params.w_w, params.x_c,
//     params.x_d, params.x_h, params.x_n, params.x_offset, params.x_w, w, x
fn row_of_x(at: u32, row: u32, there: bool) -> f32 {
    // Rows before the first one wrap to huge ones, which are outside as well.
    if (there && row < params.input_h) { return f32(x[at + row * params.x_h]); }
    return 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = workgroup_index(group, groups) * WORKGROUP + local;
    if (item >= params.items) { return; }
    let columns = vec3<u32>(params.output_d, (params.output_h + COLUMN - 1u) / COLUMN, params.output_w);
    let channel = quotient(item, volume(columns));
    var p = position(item - channel * volume(columns), columns);
    p.y *= COLUMN;
    let n = quotient(channel, params.groups * params.output_channels);
    let o = channel - n * params.groups * params.output_channels;
    let g = quotient(o, params.output_channels);

    let corner = p * STRIDE - padding();
    var x_at = params.x_offset + n * params.x_n + g * params.input_channels * params.x_c;
    var w_at = params.w_offset + o * params.w_n;
    var sums = Column();
    for (var c = 0u; c < params.input_channels; c++) {
        for (var kd = 0u; kd < params.kernel_d; kd++) {
            for (var kw = 0u; kw < params.kernel_w; kw++) {
                let q = corner.xz + vec2<u32>(kd, kw) * dilation().xz;
                let there = all(q < input_size().xz);
                let at = x_at + q.x * params.x_d + q.y * params.x_w;
                let tap = w_at + kd * params.w_d + kw * params.w_w;
                for (var first = 0u; first < min(STRIDE_H, params.kernel_h); first++) {
                    var row = corner.y + first;
                    var column = Column();
                    for (var r = 1u; r < COLUMN; r++) {
                        column = move_up(column, row_of_x(at, row, there));
                        row += STRIDE_H;
                    }
                    for (var kh = first; kh < params.kernel_h; kh += STRIDE_H) {
                        column = move_up(column, row_of_x(at, row, there));
                        row += STRIDE_H;
                        sums = add_product(sums, f32(w[tap + kh * params.w_h]), column);
                    }
                }
            }
        }
        x_at += params.x_c;
        w_at += params.w_c;
    }
    let y_at = channel * volume(output_size()) + p.x * params.result_d + p.y * params.result_h + p.z * params.result_w;
    put(y_at, params.result_h, params.output_h - p.y, sums);
}
