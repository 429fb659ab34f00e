// y[n, o] = sum over the positions p that o reads of weight(o, p) x[n, p], for planes n of x [n, D, H, W].
// Where TAPS is not 0, every window is walked whole and has so many taps. Else this stage covers the taps start..end of each window, in order; begin(i) is the sum of the stages before, finish(i,
// sum) passes it on.
//
// Needs of attention/tiles or pool/begin_nowhere or pool/begin_place or sums/begin_sum or sums/begin_zero: begin
// Needs of interpolate/cubic or interpolate/linear or interpolate/nearest or interpolate/nearest_exact or pool/adaptive or pool/sliding:
//     reads
// Needs of interpolate/cubic or interpolate/linear or interpolate/nearest or interpolate/nearest_exact or pool/adaptive or pool/sliding or software/conv/pack_weights:
//     weight
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: TAPS, WORKGROUP, load_x, params.end, params.start, params.total
// Needs of window/taps: input_size, next, number, output_size, position, volume
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(output_size()));
    let plane = n * volume(input_size());
    let o = position(i - n * volume(output_size()), output_size());
    let taps = reads(o);
    var start = params.start;
    var end = min(params.end, volume(taps.count));
    if (TAPS > 0u) {
        start = 0u;
        end = TAPS;
    }
    var sum = begin(i);
    if (start < end) {
        var k = position(start, taps.count);
        for (var t = start; t < end; t += 1u) {
            let p = taps.first + k * taps.step;
            sum += weight(o, p) * load_x(plane + number(p, input_size()));
            k = next(k, taps.count);
        }
    }
    finish(i, sum);
}
