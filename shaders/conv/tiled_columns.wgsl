// The columns of B in a tile of the kernel of matrix products, where a column is a position of an image or a tap of a channel: what belongs
// to a column is worked out once and serves all steps.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient or conv/tiled_weight_gradient: a_start, b_start, column_of, row_step
// Needs of the generator: COLUMN_QUADS, COLUMN_SIDE, FLAT, ROW_SIDE, params.m, params.n
// Gives: COLUMNS, Column, PlaceA, PlaceB, a_place, b_place, columns, is_in, reach
struct Column {
    // Where its elements begin.
    start: u32,
    // What a step is counted from.
    corner: vec3<u32>,
}

const COLUMNS: u32 = 4u * COLUMN_SIDE * COLUMN_QUADS;

var<workgroup> columns: array<Column, COLUMNS>;

// Where the group begins in B's images, and the first of four columns in the tile.
alias PlaceB = vec2<u32>;

fn b_place(g: u32, first_column: u32, quad: u32, local: u32) -> PlaceB {
    for (var i = local; i < COLUMNS; i += ROW_SIDE * COLUMN_SIDE) {
        columns[i] = column_of(min(first_column + i, params.n - 1u));
    }
    workgroupBarrier();
    return vec2<u32>(b_start(g), quad * 4u);
}

// Whether a position is in an image. Without depth (FLAT) there is nothing to compare along it.
fn is_in(q: vec3<u32>, size: vec3<u32>) -> bool {
    return all(q.yz < size.yz) & ((FLAT == 1u) | (q.x < size.x));
}

// How far a position lies from the first one, by the step of each dim.
fn reach(q: vec3<u32>, steps: vec3<u32>) -> u32 {
    return q.y * steps.y + q.z * steps.z + select(q.x * steps.x, 0u, FLAT == 1u);
}

// The places of four rows of A.
alias PlaceA = vec4<u32>;

fn a_place(g: u32, row: u32) -> PlaceA {
    return a_start(g) + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u)) * row_step();
}
