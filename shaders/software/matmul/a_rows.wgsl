// A with contiguous rows: places and strides count what one load brings.
//
// Gives: A_STEP, a_stride

// From a place to its neighbour along k.
fn a_stride() -> u32 {
    return 1u;
}

// From a place to the one that is loaded next, in strides.
const A_STEP: u32 = 1u;
