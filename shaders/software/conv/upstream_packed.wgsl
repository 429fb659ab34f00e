// The upstream gradient as pack_upstream.wgsl put it.
//
// Needs of attention/tiles: ROWS
// Needs of software/conv/rows_subgroup or software/conv/tiles_plain: add8
// Needs of software/conv/tiles_plain: Sums
// Needs of the generator: params.row_tiles, params.steps
// Gives: add_terms, upstream_row, upstream_terms

// The place of this lane's part of eight rows of a tile, from `row` on.
fn upstream_row(row_tile: u32, row: u32, lane: u32) -> u32 {
    return row;
}

// The place of four terms from `term` on, which is position i of image n.
fn upstream_terms(g: u32, row_tile: u32, term: u32, n: u32, i: u32) -> u32 {
    return ((g * params.row_tiles + row_tile) * params.steps + term / 4u) * ROWS;
}

// Adds four terms to eight rows of sums.
fn add_terms(sums: ptr<function, Sums>, at: u32, lane: u32, b: mat4x4<f32>) {
    add8(sums, at, lane, b);
}
