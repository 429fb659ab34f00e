// Where four neighbouring columns of C lie, whose rows are a multiple of four long.
alias PlaceC = u32;

fn c_place(matrix: u32, column: u32) -> PlaceC {
    at_columns(column);
    return matrix * params.m * params.n + column;
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    finish((place + row * params.n) / 4u, values);
}
