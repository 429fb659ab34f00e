// Where up to four neighbouring columns of C lie, each stored where it is there.
//
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: params.m, params.n
// Gives: PlaceC, c_place, put
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
