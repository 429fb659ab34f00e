// As segment_sum.wgsl where all elements of x[o, j] go to one place, as rows of a table do: an invocation looks up the segment of y[o, k]
// once for four parts of it a turn, `runs` parts apart, so that neighbours store neighbours. kept() says what stands where no index names a place.
//
// Needs of index/reduce_f32 or index/reduce_i32 or index/reduce_u32 or index/sum: kept
// Needs of index/run_four or index/run_one: Places
// Needs of index/segment_long or index/segment_short: segment_total
// Needs of the generator: ITERATIONS, OUTER, WORKGROUP, order, params.inner, params.row_outer, params.runs, params.size, params.starts,
//     params.total, store
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let p = workgroup_index(group, groups) * WORKGROUP + local;
    if (p >= params.total) { return; }
    let line = quotient(p, params.runs);
    var o = 0u;
    if (OUTER > 0u) { o = quotient(line, params.size); }
    let k = line - o * params.size;
    let row = min(o, params.row_outer - 1u);
    let segment = params.starts + row * (params.size + 1u) + k;
    let start = order[segment];
    let end = order[segment + 1u];
    let first = line * params.inner;
    let last = params.inner - 1u;
    for (var t = 0u; t < ITERATIONS; t += 1u) {
        let a = p - line * params.runs + 4u * t * params.runs;
        let b = a + params.runs;
        let c = b + params.runs;
        let d = c + params.runs;
        let sum = segment_total(row, o, Places(min(a, last), min(b, last), min(c, last), min(d, last)), start, end);
        if (a <= last) { store(first + a, kept(first + a, sum.a, start == end)); }
        if (b <= last) { store(first + b, kept(first + b, sum.b, start == end)); }
        if (c <= last) { store(first + c, kept(first + c, sum.c, start == end)); }
        if (d <= last) { store(first + d, kept(first + d, sum.d, start == end)); }
    }
}
