// A block of A by any strides. Steps past the end of k repeat the last one, and are not multiplied.
//
// Needs of matmul/tile_places: a_start, four
// Needs of the generator: a, params.a_col, params.a_row, params.k, params.m
// Gives: PlaceA, a_block, a_place
alias PlaceA = vec4<u32>;

fn a_place(batch: u32, row: u32) -> PlaceA {
    return a_start(batch) + four(row, params.m - 1u) * params.a_row;
}

fn a_rows(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(f32(a[at.x]), f32(a[at.y]), f32(a[at.z]), f32(a[at.w]));
}

// Column i of the block is four rows at step k + i.
fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let steps = four(k, params.k - 1u) * params.a_col;
    return mat4x4<f32>(a_rows(place + steps.x), a_rows(place + steps.y), a_rows(place + steps.z), a_rows(place + steps.w));
}
