// The largest element of a window: the first in row-major order where several are equal, and NaN before all others (of several the
// last, as PyTorch has it).
//
// Gives: Found, NOWHERE, larger_of
const NOWHERE: u32 = 0xffffffffu;

struct Found {
    place: u32,
    value: f32,
}

// What is found with one element more.
fn larger_of(found: Found, at: u32, x: f32) -> Found {
    let wins = found.place == NOWHERE || is_nan(x) || (!is_nan(found.value) && x > found.value);
    return Found(select(found.place, at, wins), select(found.value, x, wins));
}
