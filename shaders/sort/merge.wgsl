// One stage of a merge sort: runs of `width` sorted pairs (key, place) become runs of twice the length. Each pair finds its
// place by itself, its position in its own run plus the number of pairs of the other run that go before it:
//   position = rank in own run + rank in other run   (by binary search; cf. Cole 1988, "Parallel Merge Sort").
// Of equal keys those of the left run go first, so the sort is stable.
//
// Needs of sort/finish_order or sort/finish_run: finish
// Needs of the generator: WORKGROUP, keys, order, params.len, params.total, params.width
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let row = p / params.len;
    let first = row * params.len;
    let position = p - first;
    let start = position - position % (2u * params.width);
    let middle = start + min(params.width, params.len - start);
    let end = middle + min(params.width, params.len - middle);
    let own = keys[p];
    let in_left = position < middle;
    // The first pair of the other run, in low..high, that goes behind this one.
    var low = select(start, middle, in_left);
    var high = select(middle, end, in_left);
    for (var turn = 0u; turn < 32u && low < high; turn += 1u) {
        let probe = low + (high - low) / 2u;
        let other = keys[first + probe];
        if (other < own || (other == own && !in_left)) {
            low = probe + 1u;
        } else {
            high = probe;
        }
    }
    finish(row, position + low - middle, own, order[p]);
}
