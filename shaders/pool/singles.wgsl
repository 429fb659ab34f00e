// Windows of any size and stride that lie in the input, one per column of the walk; a unit is an element.
//
// Needs of pool/found: Found, NOWHERE, larger_of
// Needs of pool/walk: Walk
// Needs of the generator: DILATION_D, DILATION_H, DILATION_W, KERNEL_D, KERNEL_H, KERNEL_W, load_x
// Gives: search_window
fn search_window(walk: Walk, at: u32) -> Found {
    var found = Found(NOWHERE, 0.0);
    for (var d = 0u; d < KERNEL_D; d += 1u) {
        for (var h = 0u; h < KERNEL_H; h += 1u) {
            let line = at + d * DILATION_D * walk.slice_units + h * DILATION_H * walk.row_units;
            for (var w = 0u; w < KERNEL_W; w += 1u) {
                let i = line + w * DILATION_W;
                found = larger_of(found, i, load_x(i));
            }
        }
    }
    return found;
}
