// Puts x into a larger tensor along one dim, and a constant everywhere else:
//   y[o, start + k * step, i] = x[o, k, i] for k in 0..len,   y = value elsewhere.
// Padding is step 1; the gradient of a slice is value 0.
//
// Needs of the generator: WORKGROUP, load_x, params.backwards, params.inner, params.len, params.size, params.start, params.stride,
//     params.total, params.value, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) {
        return;
    }
    let inner = i % params.inner;
    let row = i / params.inner;
    let outer = row / params.size;
    // Distance from the first placed element, in the direction of the step (`stride` is its absolute value).
    let at = i32(row % params.size) - params.start;
    let ahead = select(at, -at, params.backwards != 0u);
    let k = u32(max(ahead, 0)) / params.stride;
    if (ahead >= 0 && u32(ahead) % params.stride == 0u && k < params.len) {
        store(i, load_x((outer * params.len + k) * params.inner + inner));
    } else {
        store(i, params.value);
    }
}
