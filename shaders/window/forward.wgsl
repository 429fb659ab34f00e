// y[n, o] = sum over the positions p that o reads of weight(o, p) x[n, p], for planes n of x [n, D, H, W].
// This stage covers the taps start..end of each window, in order; begin(i) is the sum of the stages before, finish(i,
// sum) passes it on.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let plane = i / volume(output_size()) * volume(input_size());
    let o = position(i % volume(output_size()), output_size());
    let taps = reads(o);
    let end = min(params.end, volume(taps.count));
    var sum = begin(i);
    if (params.start < end) {
        var k = position(params.start, taps.count);
        for (var t = params.start; t < end; t += 1u) {
            let p = taps.first + k * taps.step;
            sum += weight(o, p) * load_x(plane + number(p, input_size()));
            k = next(k, taps.count);
        }
    }
    finish(i, sum);
}
