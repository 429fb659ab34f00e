// What is found among the taps start..end of a window over the plane at `plane`, behind what was found before. Where TAPS is not 0,
// every window is walked whole and has so many taps.
//
// Needs of conv/window or window/taps: input_size, next, number, volume
// Needs of pool/found: Found, larger_of
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of the generator: TAPS, load_x
// Needs of window/taps: Taps
// Gives: search
fn search(plane: u32, taps: Taps, start: u32, end: u32, before: Found) -> Found {
    var found = before;
    var first = start;
    var last = min(end, volume(taps.count));
    if (TAPS > 0u) {
        first = 0u;
        last = TAPS;
    }
    if (first >= last) { return found; }
    var k = position(first, taps.count);
    for (var t = first; t < last; t += 1u) {
        let at = number(taps.first + k * taps.step, input_size());
        let x = load_x(plane + at);
        found = larger_of(found, at, x);
        k = next(k, taps.count);
    }
    return found;
}
