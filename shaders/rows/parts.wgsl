// A row is read in parts (one element, or four neighbours), part k by lane k % LANES. A lane that has HELD parts or fewer holds them in
// registers, so that every element is loaded once however often the kernel walks over the row; with HELD = 0 each walk loads.

// Turns of a walk over the row.
fn turns() -> u32 {
    if (HELD > 0u) { return HELD; }
    return params.turns;
}

fn is_kept() -> bool { return HELD > 0u; }
