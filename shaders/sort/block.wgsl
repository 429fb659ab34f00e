// First stage of a merge sort of pairs (key, place in the row): each block of up to BLOCK elements of a row is sorted by rank,
//   position = number of pairs of the block that are smaller.
// The place decides between equal keys, which makes the sort stable and the order unique.
//
// Needs of matmul/sum: BLOCK
// Needs of sort/finish_order or sort/finish_run: finish
// Needs of sort/row_indices or sort/row_values: check, key_at
// Needs of the generator: WORKGROUP, params.len, params.total
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let row = p / params.len;
    let place = p % params.len;
    check(row, place);
    let own = key_at(row, place);
    let start = place - place % BLOCK;
    let end = start + min(BLOCK, params.len - start);
    var position = start;
    for (var k = start; k < end; k += 1u) {
        let other = key_at(row, k);
        if (other < own || (other == own && k < place)) { position += 1u; }
    }
    finish(row, position, own, place);
}
