// Four neighbouring columns of C, where the positions of an image are a multiple of four.
alias PlaceC = u32;

fn c_place(matrix: u32, column: u32) -> PlaceC {
    return image_place(matrix, column);
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    finish((place + row * volume(result_size())) / 4u, values);
}
