// What the depthwise kernels share: eight numbers that stand below each other in an image, past which its rows are moved, so that each
// of them is loaded once for all taps that it meets.
//
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Gives: COLUMN, Column, add_product, move_down, move_up, put
struct Column {
    upper: vec4<f32>,
    lower: vec4<f32>,
}

const COLUMN: u32 = 8u;

// All move up by one, and `last` comes in below.
fn move_up(column: Column, last: f32) -> Column {
    return Column(vec4<f32>(column.upper.yzw, column.lower.x), vec4<f32>(column.lower.yzw, last));
}

// All move down by one, and `first` comes in above.
fn move_down(column: Column, first: f32) -> Column {
    return Column(vec4<f32>(first, column.upper.xyz), vec4<f32>(column.upper.w, column.lower.xyz));
}

fn add_product(sums: Column, factor: f32, column: Column) -> Column {
    return Column(sums.upper + factor * column.upper, sums.lower + factor * column.lower);
}

// Finishes the first `count` sums, which belong `step` elements apart.
fn put(at: u32, step: u32, count: u32, sums: Column) {
    if (count > 0u) { finish(at, sums.upper.x); }
    if (count > 1u) { finish(at + step, sums.upper.y); }
    if (count > 2u) { finish(at + 2u * step, sums.upper.z); }
    if (count > 3u) { finish(at + 3u * step, sums.upper.w); }
    if (count > 4u) { finish(at + 4u * step, sums.lower.x); }
    if (count > 5u) { finish(at + 5u * step, sums.lower.y); }
    if (count > 6u) { finish(at + 6u * step, sums.lower.z); }
    if (count > 7u) { finish(at + 7u * step, sums.lower.w); }
}
