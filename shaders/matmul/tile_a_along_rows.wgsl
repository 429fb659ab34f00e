// A block of A whose columns are contiguous and aligned to four elements, as a transpose has them, at steps that are not negative; m is a
// multiple of four. Places count vec4s. Steps past the end of k repeat the last one, and are not multiplied.
//
// Needs of matmul/tile_places: a_start
// Needs of the generator: params.a_col, params.k, params.m, quad_a
// Gives: PlaceA, a_block, a_place
alias PlaceA = vec2<u32>;

// The places of the first column and of the last one.
fn a_place(batch: u32, row: u32) -> PlaceA {
    let first = a_start(batch) + min(row, params.m - 4u);
    return vec2<u32>(first, first + (params.k - 1u) * params.a_col) / 4u;
}

// Column i of the block is four rows at step k + i.
fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let step = params.a_col / 4u;
    let at = min(place.x + k * step + vec4<u32>(0u, step, 2u * step, 3u * step), vec4<u32>(place.y));
    return mat4x4<f32>(quad_a(at.x), quad_a(at.y), quad_a(at.z), quad_a(at.w));
}
