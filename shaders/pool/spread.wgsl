// The transpose of pick.wgsl, which is the gradient of max pooling: y[n, p] = sum over o with index[n, o] = p of x[n,
// o]. Only windows over p are looked at, each invocation owns one p, and the order is fixed.
// This stage covers the windows start..end over each p; begin(i) is the sum of the stages before, finish(i, sum) passes
// it on.
//
// Needs of conv/window or window/taps: input_size, next, number, output_size, volume
// Needs of pool/adaptive or pool/sliding: readers
// Needs of pool/begin_nowhere or pool/begin_place: begin
// Needs of pool/finish_index or pool/finish_place or pool/finish_value: finish
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of the generator: WORKGROUP, load_index, load_x, params.end, params.start, params.total
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(input_size()));
    let place = i - n * volume(input_size());
    let plane = n * volume(output_size());
    let taps = readers(position(place, input_size()));
    let end = min(params.end, volume(taps.count));
    var sum = begin(i);
    if (params.start < end) {
        var k = position(params.start, taps.count);
        for (var t = params.start; t < end; t += 1u) {
            let o = plane + number(taps.first + k * taps.step, output_size());
            if (load_index(o) == place) { sum += load_x(o); }
            k = next(k, taps.count);
        }
    }
    finish(i, sum);
}
