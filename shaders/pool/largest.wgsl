// The largest element of each window of x [n, D, H, W]: the first in row-major order where several are equal, and NaN
// before all others (of several the last, as PyTorch has it). This stage covers the taps start..end of each window;
// begin(i) is the place in the plane that the stages before found, and finish(i, place, value) passes it on.
const NOWHERE: u32 = 0xffffffffu;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let plane = i / volume(output_size()) * volume(input_size());
    let taps = reads(position(i % volume(output_size()), output_size()));
    let end = min(params.end, volume(taps.count));
    var place = begin(i);
    var value = 0.0;
    if (place != NOWHERE) { value = load_x(plane + place); }
    if (params.start < end) {
        var k = position(params.start, taps.count);
        for (var t = params.start; t < end; t += 1u) {
            let at = number(taps.first + k * taps.step, input_size());
            let x = load_x(plane + at);
            if (place == NOWHERE || is_nan(x) || (!is_nan(value) && x > value)) {
                place = at;
                value = x;
            }
            k = next(k, taps.count);
        }
    }
    finish(i, place, value);
}
