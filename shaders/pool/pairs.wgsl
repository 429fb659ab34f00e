// Windows of two neighbours along the width, two apart, in rows of a multiple of four elements: a unit of four neighbours is two windows, and
// one load a row of the windows.
//
// Needs of pool/found: Found, NOWHERE, larger_of
// Needs of pool/walk: Walk
// Needs of the generator: DILATION_D, DILATION_H, KERNEL_D, KERNEL_H, load_x
// Gives: search_pair
struct Pair {
    first: Found,
    second: Found,
}

fn search_pair(walk: Walk, at: u32) -> Pair {
    var pair = Pair(Found(NOWHERE, 0.0), Found(NOWHERE, 0.0));
    for (var d = 0u; d < KERNEL_D; d += 1u) {
        for (var h = 0u; h < KERNEL_H; h += 1u) {
            let i = at + d * DILATION_D * walk.slice_units + h * DILATION_H * walk.row_units;
            let x = load_x(i);
            pair.first = larger_of(larger_of(pair.first, i * 4u, x.x), i * 4u + 1u, x.y);
            pair.second = larger_of(larger_of(pair.second, i * 4u + 2u, x.z), i * 4u + 3u, x.w);
        }
    }
    return pair;
}
