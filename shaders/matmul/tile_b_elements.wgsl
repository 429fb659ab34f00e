// A block of B by any strides. Steps past the end of k repeat the last one, and are not multiplied.
//
// Needs of matmul/tile_places: b_start, four
// Needs of the generator: b, params.b_col, params.b_row, params.k, params.n
// Gives: PlaceB, b_block, b_place
alias PlaceB = vec4<u32>;

fn b_place(batch: u32, first_column: u32, quad: u32, local: u32) -> PlaceB {
    return b_start(batch) + four(first_column + quad * 4u, params.n - 1u) * params.b_col;
}

fn b_columns(at: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(f32(b[at.x]), f32(b[at.y]), f32(b[at.z]), f32(b[at.w]));
}

// Column i of the block is four columns of B at step k + i.
fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let steps = four(k, params.k - 1u) * params.b_row;
    return mat4x4<f32>(
        b_columns(place + steps.x), b_columns(place + steps.y), b_columns(place + steps.z), b_columns(place + steps.w),
    );
}
