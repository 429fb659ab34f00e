// The gradient of a convolution with respect to its weight:
//   dw[o, c, k] = sum over n, p of dy[n, o, p] x[n, c, p * stride + k * dilation - padding],
// with x [batch, groups * input_channels, input], dy [batch, groups * output_channels, output] and
// dw [groups * output_channels, input_channels, kernel]; x is 0 outside, and its channel c is that of the group of o.
//
// An invocation has one (c, k) of BLOCK neighbouring output channels: each x that it loads serves them all.
// It adds up one chunk of the terms (n, p): begin(i) is what the rounds before found, finish(i, sum) passes it on.
//
// Needs of attention/tiles or pool/begin_nowhere or pool/begin_place or sums/begin_sum or sums/begin_zero: begin
// Needs of conv/chunks: first_term, last_term
// Needs of conv/window: STRIDE, dilation, input_size, kernel_size, next, output_size, padding, position, volume
// Needs of matmul/sum: BLOCK
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: WORKGROUP, params.groups, params.input_channels, params.items, params.output_channels, params.total,
//     params.x_c, params.x_d, params.x_h, params.x_n, params.x_offset, params.x_w, params.y_c, params.y_d, params.y_h, params.y_n,
//     params.y_offset, params.y_w, x, y
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = workgroup_index(group, groups) * WORKGROUP + local;
    if (item >= params.items) { return; }
    let taps = volume(kernel_size());
    let filter_size = params.input_channels * taps;
    let blocks = (params.output_channels + BLOCK - 1u) / BLOCK;
    let i = item % filter_size;
    let c = i / taps;
    let row = item / filter_size;
    let block = row % blocks;
    let g = row / blocks % params.groups;
    let slot = row / blocks / params.groups;

    let o = g * params.output_channels + block * BLOCK;
    let channels = min(BLOCK, params.output_channels - block * BLOCK);
    let w_at = slot * params.total + o * filter_size + i;
    var sum: array<f32, BLOCK>;
    for (var b = 0u; b < BLOCK; b++) {
        if (b < channels) { sum[b] = begin(w_at + b * filter_size); }
    }

    let x_at = params.x_offset + (g * params.input_channels + c) * params.x_c;
    let y_at = params.y_offset + o * params.y_c;
    let x_step = vec3<u32>(params.x_d, params.x_h, params.x_w);
    let y_step = vec3<u32>(params.y_d, params.y_h, params.y_w);
    // Positions before the first element wrap to huge ones, which are outside as well.
    let corner = position(i % taps, kernel_size()) * dilation() - padding();

    let start = first_term(slot);
    var n = start / volume(output_size());
    var p = position(start % volume(output_size()), output_size());
    for (var term = start; term < last_term(start); term++) {
        let q = p * STRIDE + corner;
        if (all(q < input_size())) {
            let value = f32(x[x_at + n * params.x_n + dot(q, x_step)]);
            let upstream = y_at + n * params.y_n + dot(p, y_step);
            for (var b = 0u; b < BLOCK; b++) {
                sum[b] += f32(y[upstream + min(b, channels - 1u) * params.y_c]) * value;
            }
        }
        p = next(p, output_size());
        if (all(p == vec3<u32>(0u))) { n++; }
    }

    for (var b = 0u; b < BLOCK; b++) {
        if (b < channels) { finish(w_at + b * filter_size, sum[b]); }
    }
}
