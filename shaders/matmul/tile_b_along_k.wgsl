// A block of B whose columns are contiguous and aligned to four elements, as a transpose has them; k is a multiple of four. Places count
// vec4s. Steps past the end of k repeat the last ones, and are not multiplied.
//
// Needs of matmul/tile_places: b_start, four
// Needs of the generator: params.b_col, params.k, params.n, quad_b
// Gives: PlaceB, b_block, b_place
alias PlaceB = vec4<u32>;

fn b_place(batch: u32, first_column: u32, quad: u32, local: u32) -> PlaceB {
    return (b_start(batch) + four(first_column + quad * 4u, params.n - 1u) * params.b_col) / 4u;
}

// Column i of the block is four columns of B at step k + i.
fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let at = place + min(k, params.k - 4u) / 4u;
    return transpose(mat4x4<f32>(quad_b(at.x), quad_b(at.y), quad_b(at.z), quad_b(at.w)));
}
