// Stores up to four neighbouring partial sums of one row, element by element.
fn put_inside(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let first = (matrix * params.m + row) * params.n + column;
    for (var j = 0u; j < min(4u, params.n - column); j++) {
        store_partial(first + j, values[j]);
    }
}

// The same where the place may lie past the edge.
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    if (row < params.m && column < params.n) { put_inside(matrix, row, column, values); }
}
