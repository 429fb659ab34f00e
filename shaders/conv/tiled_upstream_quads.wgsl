// Blocks of A, dy, whose positions lie contiguous and are a multiple of four, so that four steps are neighbours.
//
// Needs of conv/tiled_columns: PlaceA
// Needs of conv/window: output_size, volume
// Needs of the generator: params.k, params.y_n, quad_y
// Gives: a_block
fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let first = min(k, params.k - 4u);
    let n = quotient(first, volume(output_size()));
    let at = (place + n * params.y_n + first - n * volume(output_size())) / 4u;
    return transpose(mat4x4<f32>(quad_y(at.x), quad_y(at.y), quad_y(at.z), quad_y(at.w)));
}
