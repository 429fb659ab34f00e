// A block of A whose rows are contiguous and aligned to four elements; k is a multiple of four. Places count vec4s. Steps past the end of k
// repeat the last ones, and are not multiplied.
//
// Needs of matmul/tile_places: a_start, four
// Needs of the generator: params.a_row, params.k, params.m, quad_a
// Gives: PlaceA, a_block, a_place
alias PlaceA = vec4<u32>;

fn a_place(batch: u32, row: u32) -> PlaceA {
    return (a_start(batch) + four(row, params.m - 1u) * params.a_row) / 4u;
}

// Column i of the block is four rows at step k + i.
fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let at = place + min(k, params.k - 4u) / 4u;
    return transpose(mat4x4<f32>(quad_a(at.x), quad_a(at.y), quad_a(at.z), quad_a(at.w)));
}
