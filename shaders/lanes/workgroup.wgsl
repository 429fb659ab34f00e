// A row is worked on by one workgroup: its invocations take every LANES-th element and combine what they found by a tree in
// workgroup memory, always in the same order.
const LANES: u32 = WORKGROUP;

var<workgroup> partial: array<f32, WORKGROUP>;

fn row_index(group: u32, local: u32) -> u32 { return group; }
fn lane_index(local: u32) -> u32 { return local; }

fn lanes_max(value: f32, lane: u32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
            let other = partial[lane + half];
            if (is_nan(other) || other > partial[lane]) { partial[lane] = other; }
        }
        workgroupBarrier();
    }
    let result = partial[0];
    workgroupBarrier();
    return result;
}

fn lanes_sum(value: f32, lane: u32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) { partial[lane] += partial[lane + half]; }
        workgroupBarrier();
    }
    let result = partial[0];
    workgroupBarrier();
    return result;
}
