// Convolution (Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285):
//   y[n, o, p] = sum over c, k of w[o, c, k] x[n, c, p * stride + k * dilation - padding],
// with x [batch, groups * input_channels, input], w [groups * output_channels, input_channels, kernel] and
// y [batch, groups * output_channels, output]; x is 0 outside, and c runs over the channels of the group of o.
//
// An invocation has one position p of BLOCK neighbouring output channels: each x that it loads serves them all.
// It adds up one chunk of the terms (c, k): begin(i) is what the rounds before found, finish(i, sum) passes it on.
//
// Needs of attention/tiles or pool/begin_nowhere or pool/begin_place or sums/begin_sum or sums/begin_zero: begin
// Needs of conv/chunks: first_term, last_term
// Needs of conv/window: STRIDE, dilation, input_size, kernel_size, next, output_size, padding, position, volume
// Needs of matmul/sum: BLOCK
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: WORKGROUP, params.batch, params.groups, params.input_channels, params.items, params.output_channels,
//     params.total, params.w_c, params.w_d, params.w_h, params.w_n, params.w_offset, params.w_w, params.x_c, params.x_d, params.x_h,
//     params.x_n, params.x_offset, params.x_w, w, x
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = workgroup_index(group, groups) * WORKGROUP + local;
    if (item >= params.items) { return; }
    let positions = volume(output_size());
    let blocks = (params.output_channels + BLOCK - 1u) / BLOCK;
    let row = quotient(item, positions);
    let i = item - row * positions;
    let part = quotient(row, blocks);
    let block = row - part * blocks;
    let image = quotient(part, params.groups);
    let g = part - image * params.groups;
    let slot = quotient(image, params.batch);
    let n = image - slot * params.batch;

    let o = g * params.output_channels + block * BLOCK;
    let channels = min(BLOCK, params.output_channels - block * BLOCK);
    let y_at = slot * params.total + (n * params.groups * params.output_channels + o) * positions + i;
    var sum: array<f32, BLOCK>;
    for (var b = 0u; b < BLOCK; b++) {
        if (b < channels) { sum[b] = begin(y_at + b * positions); }
    }

    let x_at = params.x_offset + n * params.x_n + g * params.input_channels * params.x_c;
    let w_at = params.w_offset + o * params.w_n;
    let x_step = vec3<u32>(params.x_d, params.x_h, params.x_w);
    let w_step = vec3<u32>(params.w_d, params.w_h, params.w_w);
    // Positions before the first element wrap to huge ones, which are outside as well.
    let corner = position(i, output_size()) * STRIDE - padding();

    let start = first_term(slot);
    var c = start / volume(kernel_size());
    var k = position(start % volume(kernel_size()), kernel_size());
    for (var term = start; term < last_term(start); term++) {
        let q = corner + k * dilation();
        if (all(q < input_size())) {
            let value = f32(x[x_at + c * params.x_c + dot(q, x_step)]);
            let tap = w_at + c * params.w_c + dot(k, w_step);
            for (var b = 0u; b < BLOCK; b++) {
                sum[b] += f32(w[tap + min(b, channels - 1u) * params.w_n]) * value;
            }
        }
        k = next(k, kernel_size());
        if (all(k == vec3<u32>(0u))) { c++; }
    }

    for (var b = 0u; b < BLOCK; b++) {
        if (b < channels) { finish(y_at + b * positions, sum[b]); }
    }
}
