// What both() makes of x over the places start..end of a row of the sorted order, in this order.
//
// Needs of index/run_four or index/run_one: Places, Run, empty_run, plus, x_at
// Needs of the generator: order, params.inner, params.len
// Gives: segment_total
fn segment_total(row: u32, o: u32, i: Places, start: u32, end: u32) -> Run {
    var sum = empty_run();
    for (var s = start; s < end; s += 1u) {
        sum = plus(sum, x_at((o * params.len + order[row * params.len + s]) * params.inner, i));
    }
    return sum;
}
