// What both() makes of whole chunks of the sorted order, for segments that span several: [outer, chunks, inner]. Only chunks that hold one
// index are walked; no segment asks for the others.
//
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: both, nothing
// Needs of the generator: WORKGROUP, keys, load_x, order, params.chunk, params.chunks, params.inner, params.len, params.row_inner,
//     params.row_outer, params.size, params.total, store_totals
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let line = quotient(p, params.inner);
    let i = p - line * params.inner;
    let o = quotient(line, params.chunks);
    let c = line - o * params.chunks;
    let row = ((o % params.row_outer) * params.row_inner + i % params.row_inner) * params.len;
    let start = c * params.chunk;
    let end = start + params.chunk;
    var sum = nothing();
    if (keys[row + start] == keys[row + end - 1u] && keys[row + start] < params.size) {
        for (var s = start; s < end; s += 1u) {
            sum = both(sum, load_x((o * params.len + order[row + s]) * params.inner + i));
        }
    }
    store_totals(p, sum);
}
