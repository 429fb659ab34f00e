// The gradient of input_gradient.wgsl where few input channels share a group (a depthwise convolution has one):
//   dx[n, c, q] = sum over o, k of w[o, c, k] dy[n, o, p]   with   p * stride + k * dilation - padding = q.
//
// An invocation has a column of eight inputs STRIDE_H apart, so that the same taps of a column of the kernel reach all of them: every
// STRIDE_H-th, each meeting the rows of dy one row before those of the tap before. The dilation along the height is 1.
//
// Needs of conv/column: COLUMN, add_product, move_down
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/column or conv/tiled_positions_each or conv/tiled_positions_quads: put
// Needs of conv/window: STRIDE, dilation, input_size, output_size, padding, position, volume
// Needs of the generator: STRIDE_H, WORKGROUP, params.groups, params.input_channels, params.input_d, params.input_h, params.input_w,
//     params.items, params.kernel_d, params.kernel_h, params.kernel_w, params.output_channels, params.output_h, params.result_d,
//     params.result_h, params.result_w, params.w_c, params.w_d, params.w_h, params.w_n, params.w_offset, params.w_w, params.y_c,
//     params.y_d, params.y_h, params.y_n, params.y_offset, params.y_w, w, y
fn row_of_y(at: u32, row: u32, there: bool) -> f32 {
    // Rows before the first one wrap to huge ones, which are outside as well.
    if (there && row < params.output_h) { return f32(y[at + row * params.y_h]); }
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
    // Columns that begin in rows 0 to STRIDE_H - 1, then those below them.
    let blocks = (params.input_h + STRIDE_H * COLUMN - 1u) / (STRIDE_H * COLUMN);
    let columns = vec3<u32>(params.input_d, blocks * STRIDE_H, params.input_w);
    let channel = quotient(item, volume(columns));
    var q = position(item - channel * volume(columns), columns);
    let block = q.y / STRIDE_H;
    q.y += block * STRIDE_H * (COLUMN - 1u);
    if (q.y >= params.input_h) { return; }
    let part = quotient(channel, params.input_channels);
    let c = channel - part * params.input_channels;
    let n = quotient(part, params.groups);
    let first_o = (part - n * params.groups) * params.output_channels;

    let reach = q + padding();
    let first = reach.y % STRIDE_H;
    var y_at = params.y_offset + n * params.y_n + first_o * params.y_c;
    var w_at = params.w_offset + first_o * params.w_n + c * params.w_c;
    var sums = Column();
    for (var o = 0u; o < params.output_channels; o++) {
        for (var kd = 0u; kd < params.kernel_d; kd++) {
            for (var kw = 0u; kw < params.kernel_w; kw++) {
                let back = vec2<u32>(kd, kw) * dilation().xz;
                let p = (reach.xz - back) / STRIDE.xz;
                let meets = all(back <= reach.xz) && all(p * STRIDE.xz + back == reach.xz);
                let there = meets && all(p < output_size().xz);
                let at = y_at + p.x * params.y_d + p.y * params.y_w;
                let tap = w_at + kd * params.w_d + kw * params.w_w;
                var row = reach.y / STRIDE_H;
                var column = Column();
                for (var r = COLUMN - 1u; r > 0u; r--) {
                    column = move_down(column, row_of_y(at, row + r, there));
                }
                for (var kh = first; kh < params.kernel_h; kh += STRIDE_H) {
                    column = move_down(column, row_of_y(at, row, there));
                    row -= 1u;
                    sums = add_product(sums, f32(w[tap + kh * params.w_h]), column);
                }
            }
        }
        y_at += params.y_c;
        w_at += params.w_n;
    }
    let x_at = channel * volume(input_size()) + q.x * params.result_d + q.y * params.result_h + q.z * params.result_w;
    put(x_at, STRIDE_H * params.result_h, (params.input_h - q.y + STRIDE_H - 1u) / STRIDE_H, sums);
}
