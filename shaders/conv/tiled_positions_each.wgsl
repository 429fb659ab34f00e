// Up to four neighbouring columns of C, which may belong to several images.
struct PlaceC {
    at: vec4<u32>,
    count: u32,
}

fn c_place(matrix: u32, column: u32) -> PlaceC {
    let at = vec4<u32>(
        image_place(matrix, column),
        image_place(matrix, column + 1u),
        image_place(matrix, column + 2u),
        image_place(matrix, column + 3u),
    );
    return PlaceC(at, params.n - column);
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    let at = place.at + row * volume(result_size());
    finish(at.x, values.x);
    if (place.count > 1u) { finish(at.y, values.y); }
    if (place.count > 2u) { finish(at.z, values.z); }
    if (place.count > 3u) { finish(at.w, values.w); }
}
