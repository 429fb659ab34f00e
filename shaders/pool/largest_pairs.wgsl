// The largest element of each window; see pairs.wgsl.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(cells()));
    let cell = position(i - n * volume(cells()), cells());
    let pair = search_pair(n, cell);
    let at = output_at(n, cell);
    store(at, pair.first.value);
    store(at + 1u, pair.second.value);
}
