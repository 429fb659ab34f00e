// The gradient of weight_gradient.wgsl where few output channels share a group (a depthwise convolution has one):
//   dw[o, c, k] = sum over n, p of dy[n, o, p] x[n, c, p * stride + k * dilation - padding].
//
// An invocation has eight taps of a column of the kernel. It walks down columns of dy, and the rows of x that the taps meet move on by
// STRIDE_H with each row of dy. Of the columns it takes every params.slots-th; a stage after this one adds up the slots. The dilation along
// the height is 1.
//
// Needs of conv/column: COLUMN, add_product, move_up
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/column or conv/tiled_positions_each or conv/tiled_positions_quads: put
// Needs of conv/window: STRIDE, input_size, kernel_size, padding, position, volume
// Needs of the generator: STRIDE_H, WORKGROUP, params.columns, params.dilation_d, params.dilation_w, params.input_channels,
//     params.input_h, params.items, params.kernel_d, params.kernel_h, params.kernel_w, params.output_channels, params.output_d,
//     params.output_h, params.output_w, params.result_d, params.result_h, params.result_w, params.slots, params.total, params.x_c,
//     params.x_d, params.x_h, params.x_n, params.x_offset, params.x_w, params.y_c, params.y_d, params.y_h, params.y_n, params.y_offset,
//     params.y_w, x, y
fn row_of_x(at: u32, row: u32) -> f32 {
    // Rows before the first one wrap to huge ones, which are outside as well.
    if (row < params.input_h) { return f32(x[at + row * params.x_h]); }
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
    // Neighbours take neighbouring columns.
    let part = quotient(item, params.slots);
    let slot = item - part * params.slots;
    let blocks = vec3<u32>(params.kernel_d, (params.kernel_h + COLUMN - 1u) / COLUMN, params.kernel_w);
    let filter_channel = quotient(part, volume(blocks));
    var k = position(part - filter_channel * volume(blocks), blocks);
    k.y *= COLUMN;
    let o = quotient(filter_channel, params.input_channels);
    let c = filter_channel - o * params.input_channels;

    let g = quotient(o, params.output_channels);
    let x_at = params.x_offset + (g * params.input_channels + c) * params.x_c;
    let y_at = params.y_offset + o * params.y_c;
    let corner = vec3<u32>(k.x * params.dilation_d, k.y, k.z * params.dilation_w) - padding();
    var sums = Column();
    for (var i = slot; i < params.columns; i += params.slots) {
        let plane = quotient(i, params.output_w);
        let n = quotient(plane, params.output_d);
        let p = vec2<u32>(plane - n * params.output_d, i - plane * params.output_w);
        let q = p * STRIDE.xz + corner.xz;
        if (any(q >= input_size().xz)) { continue; }
        let x_column = x_at + n * params.x_n + q.x * params.x_d + q.y * params.x_w;
        let y_column = y_at + n * params.y_n + p.x * params.y_d + p.y * params.y_w;
        var row = corner.y;
        var column = Column();
        for (var r = STRIDE_H; r < COLUMN; r++) {
            column = move_up(column, row_of_x(x_column, row));
            row++;
        }
        for (var ph = 0u; ph < params.output_h; ph++) {
            for (var s = 0u; s < STRIDE_H; s++) {
                column = move_up(column, row_of_x(x_column, row));
                row++;
            }
            sums = add_product(sums, f32(y[y_column + ph * params.y_h]), column);
        }
    }
    let w_at = slot * params.total + filter_channel * volume(kernel_size())
        + k.x * params.result_d + k.y * params.result_h + k.z * params.result_w;
    put(w_at, params.result_h, params.kernel_h - k.y, sums);
}
