// The transpose of forward.wgsl: y[n, p] = sum over the positions o that read p of weight(o, p) x[n, o]. Each
// invocation owns one p and gathers, so no atomics are needed and the order is fixed.
//
// Needs of attention/tiles or pool/begin_nowhere or pool/begin_place or sums/begin_sum or sums/begin_zero: begin
// Needs of interpolate/cubic or interpolate/linear or interpolate/nearest or interpolate/nearest_exact or pool/adaptive or pool/sliding:
//     readers
// Needs of interpolate/cubic or interpolate/linear or interpolate/nearest or interpolate/nearest_exact or pool/adaptive or pool/sliding or software/conv/pack_weights:
//     weight
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: WORKGROUP, load_x, params.end, params.start, params.total
// Needs of window/taps: input_size, next, number, output_size, position, volume
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(input_size()));
    let plane = n * volume(output_size());
    let p = position(i - n * volume(input_size()), input_size());
    let taps = readers(p);
    let end = min(params.end, volume(taps.count));
    var sum = begin(i);
    if (params.start < end) {
        var k = position(params.start, taps.count);
        for (var t = params.start; t < end; t += 1u) {
            let o = taps.first + k * taps.step;
            let w = weight(o, p);
            // The box can hold an o that does not read p; whatever stands there must not count.
            if (w != 0.0) { sum += w * load_x(plane + number(o, output_size())); }
            k = next(k, taps.count);
        }
    }
    finish(i, sum);
}
