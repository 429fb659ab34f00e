// What each row is normalised by, for kernels that walk down columns.
//
// Needs of norm/statistics: statistics
// Needs of the generator: store_rows
// Gives: run
fn run(row: u32, lane: u32) {
    let s = statistics(row, lane);
    if (lane == 0u) { store_rows(row, vec4<f32>(s.shift, s.rest, s.scale, 0.0)); }
}
