// What a window passes on, and to which place.
//
// Needs of pool/singles: search_window
// Needs of pool/walk: Walk
// Needs of the generator: load_dy, store
// Gives: Passed, passed, put_row
struct Passed {
    dy: f32,
    place: u32,
}

fn passed(walk: Walk, input: u32, output: u32) -> Passed {
    return Passed(load_dy(output), search_window(walk, input).place);
}

// A row of what the window owns, from `at` on.
fn put_row(passed: Passed, at: u32, columns: u32) {
    for (var w = 0u; w < columns; w += 1u) {
        store(at + w, select(0.0, passed.dy, at + w == passed.place));
    }
}
