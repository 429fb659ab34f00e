// The upstream gradient where it is, row-major, for subgroups: lane i loads from row i of eight. The positions of an image are a multiple of
// four.
//
// Needs of attention/tiles: ROWS
// Needs of conv/window or window/taps: output_size, volume
// Needs of software/conv/tiles_plain: Sums
// Needs of software/matmul/lanes: multiply4
// Needs of the generator: load_y, params.groups, params.rows
// Gives: add_terms, upstream_row, upstream_terms

// The place of this lane's row of eight rows of a tile, from `row` on; rows past the last one repeat it.
fn upstream_row(row_tile: u32, row: u32, lane: u32) -> u32 {
    return min(row_tile * ROWS + row + lane % 8u, params.rows - 1u) * (volume(output_size()) / 4u);
}

// The place of four terms from `term` on, which is position i of image n.
fn upstream_terms(g: u32, row_tile: u32, term: u32, n: u32, i: u32) -> u32 {
    return ((n * params.groups + g) * params.rows * volume(output_size()) + i) / 4u;
}

// Adds four terms to eight rows of sums.
fn add_terms(sums: ptr<function, Sums>, at: u32, lane: u32, b: mat4x4<f32>) {
    multiply4(sums, load_y(at), b);
}
