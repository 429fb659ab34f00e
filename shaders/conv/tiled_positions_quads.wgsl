// Four neighbouring columns of C, where the positions of an image are a multiple of four.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient: result_size
// Needs of conv/tiled_positions: image_place
// Needs of conv/window: volume
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Gives: PlaceC, c_place, put
alias PlaceC = u32;

fn c_place(matrix: u32, column: u32) -> PlaceC {
    return image_place(matrix, column);
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    finish((place + row * volume(result_size())) / 4u, values);
}
