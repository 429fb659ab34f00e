// Where the segment of each k in 0..=size begins in a row of sorted indices: the first place whose index is not below k, by
// binary search. keys is [rows, len], starts [rows, size + 1]; it stands behind another array in its buffer.
//
// Needs of the generator: WORKGROUP, keys, params.len, params.size, params.starts, params.total, store_starts
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let k = p % (params.size + 1u);
    let first = p / (params.size + 1u) * params.len;
    var low = 0u;
    var high = params.len;
    for (var turn = 0u; turn < 32u && low < high; turn += 1u) {
        let probe = low + (high - low) / 2u;
        if (keys[first + probe] < k) {
            low = probe + 1u;
        } else {
            high = probe;
        }
    }
    store_starts(params.starts + p, low);
}
