// What two windows pass on, and where each of their four columns has its largest element.
//
// Needs of pool/pairs: search_pair
// Needs of pool/walk: Walk
// Needs of the generator: load_dy, store
// Gives: Passed, passed, put_row
struct Passed {
    dy: vec2<f32>,
    places: vec4<u32>,
}

fn passed(walk: Walk, input: u32, output: u32) -> Passed {
    let pair = search_pair(walk, input);
    return Passed(
        vec2<f32>(load_dy(output), load_dy(output + 1u)),
        vec4<u32>(pair.first.place, pair.first.place, pair.second.place, pair.second.place),
    );
}

// A row of what the windows own, from `at` on.
fn put_row(passed: Passed, at: u32, columns: u32) {
    store(at, select(vec4<f32>(), passed.dy.xxyy, at * 4u + vec4<u32>(0u, 1u, 2u, 3u) == passed.places));
}
