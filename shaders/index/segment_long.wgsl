// As segment_short.wgsl, for rows so long that a segment may span several chunks: what lies before the first chunk boundary, the
// totals of the chunks inside, and what lies behind the last boundary, in this order.
//
// Needs of index/run_four or index/run_one: Places, Run, empty_run, plus, x_at
// Needs of index/totals_four or index/totals_one: totals_at
// Needs of the generator: order, params.chunk, params.chunks, params.inner, params.len
// Gives: segment_total
fn segment_total(row: u32, o: u32, i: Places, start: u32, end: u32) -> Run {
    let first_chunk = (start + params.chunk - 1u) / params.chunk;
    let end_chunk = max(end / params.chunk, first_chunk);
    let head = min(first_chunk * params.chunk, end);
    let tail = max(min(end_chunk * params.chunk, end), head);
    var sum = empty_run();
    for (var s = start; s < head; s += 1u) {
        sum = plus(sum, x_at((o * params.len + order[row * params.len + s]) * params.inner, i));
    }
    for (var c = first_chunk; c < end_chunk; c += 1u) {
        sum = plus(sum, totals_at((o * params.chunks + c) * params.inner, i));
    }
    for (var s = tail; s < end; s += 1u) {
        sum = plus(sum, x_at((o * params.len + order[row * params.len + s]) * params.inner, i));
    }
    return sum;
}
