// The gradient of a convolution with respect to its input, which is the transposed convolution (Dumoulin & Visin 2016, chapter 4):
//   dx[n, c, q] = sum over o, k of w[o, c, k] dy[n, o, p]   with   p * stride + k * dilation - padding = q,
// with dy [batch, groups * output_channels, output], w [groups * output_channels, input_channels, kernel] and
// dx [batch, groups * input_channels, input]; o runs over the channels of the group of c.
//
// An invocation has one position q of BLOCK neighbouring input channels: each dy that it loads serves them all.
// It adds up one chunk of the terms (o, k): begin(i) is what the rounds before found, finish(i, sum) passes it on.
//
// Needs of attention/tiles or pool/begin_nowhere or pool/begin_place or sums/begin_sum or sums/begin_zero: begin
// Needs of conv/chunks: first_term, last_term
// Needs of conv/window: STRIDE, dilation, input_size, kernel_size, next, output_size, padding, position, volume
// Needs of matmul/sum: BLOCK
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: WORKGROUP, params.batch, params.groups, params.input_channels, params.items, params.output_channels,
//     params.total, params.w_c, params.w_d, params.w_h, params.w_n, params.w_offset, params.w_w, params.y_c, params.y_d, params.y_h,
//     params.y_n, params.y_offset, params.y_w, w, y
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = workgroup_index(group, groups) * WORKGROUP + local;
    if (item >= params.items) { return; }
    let positions = volume(input_size());
    let blocks = (params.input_channels + BLOCK - 1u) / BLOCK;
    let row = quotient(item, positions);
    let i = item - row * positions;
    let part = quotient(row, blocks);
    let block = row - part * blocks;
    let image = quotient(part, params.groups);
    let g = part - image * params.groups;
    let slot = quotient(image, params.batch);
    let n = image - slot * params.batch;

    let c = block * BLOCK;
    let channels = min(BLOCK, params.input_channels - c);
    let x_at = slot * params.total + ((n * params.groups + g) * params.input_channels + c) * positions + i;
    var sum: array<f32, BLOCK>;
    for (var b = 0u; b < BLOCK; b++) {
        if (b < channels) { sum[b] = begin(x_at + b * positions); }
    }

    let first_o = g * params.output_channels;
    let y_at = params.y_offset + n * params.y_n + first_o * params.y_c;
    let w_at = params.w_offset + first_o * params.w_n + c * params.w_c;
    let y_step = vec3<u32>(params.y_d, params.y_h, params.y_w);
    let w_step = vec3<u32>(params.w_d, params.w_h, params.w_w);
    let reach = position(i, input_size()) + padding();

    let start = first_term(slot);
    var o = start / volume(kernel_size());
    var k = position(start % volume(kernel_size()), kernel_size());
    for (var term = start; term < last_term(start); term++) {
        let back = k * dilation();
        let p = (reach - back) / STRIDE;
        if (all(back <= reach) && all(p * STRIDE + back == reach) && all(p < output_size())) {
            let value = f32(y[y_at + o * params.y_c + dot(p, y_step)]);
            let tap = w_at + o * params.w_n + dot(k, w_step);
            for (var b = 0u; b < BLOCK; b++) {
                sum[b] += f32(w[tap + min(b, channels - 1u) * params.w_c]) * value;
            }
        }
        k = next(k, kernel_size());
        if (all(k == vec3<u32>(0u))) { o++; }
    }

    for (var b = 0u; b < BLOCK; b++) {
        if (b < channels) { finish(x_at + b * positions, sum[b]); }
    }
}
