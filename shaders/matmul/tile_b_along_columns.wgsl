// A block of B whose rows are contiguous and aligned to four elements, at steps that are not negative; n is a multiple of four. Places
// count vec4s. Steps past the end of k repeat the last one, and are not multiplied.
//
// Needs of matmul/tile_places: b_start
// Needs of the generator: params.b_row, params.k, params.n, quad_b
// Gives: PlaceB, b_block, b_place
alias PlaceB = vec2<u32>;

// The places of the first row and of the last one.
fn b_place(batch: u32, first_column: u32, quad: u32, local: u32) -> PlaceB {
    let first = b_start(batch) + min(first_column + quad * 4u, params.n - 4u);
    return vec2<u32>(first, first + (params.k - 1u) * params.b_row) / 4u;
}

// Column i of the block is four columns of B at step k + i.
fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let step = params.b_row / 4u;
    let at = min(place.x + k * step + vec4<u32>(0u, step, 2u * step, 3u * step), vec4<u32>(place.y));
    return mat4x4<f32>(quad_b(at.x), quad_b(at.y), quad_b(at.z), quad_b(at.w));
}
