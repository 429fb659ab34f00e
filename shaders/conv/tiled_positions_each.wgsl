// Up to four neighbouring columns of C, which may belong to several images.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient: result_size
// Needs of conv/tiled_positions: image_place
// Needs of conv/window: volume
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of the generator: params.n
// Gives: PlaceC, c_place, put
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
