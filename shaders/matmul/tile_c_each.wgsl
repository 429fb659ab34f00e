// Where up to four neighbouring columns of C lie, each stored where it is there.
struct PlaceC {
    first: u32,
    count: u32,
}

fn c_place(matrix: u32, column: u32) -> PlaceC {
    return PlaceC(matrix * params.m * params.n + column, params.n - column);
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    let first = place.first + row * params.n;
    finish(first, values.x);
    if (place.count > 1u) { finish(first + 1u, values.y); }
    if (place.count > 2u) { finish(first + 2u, values.z); }
    if (place.count > 3u) { finish(first + 3u, values.w); }
}
