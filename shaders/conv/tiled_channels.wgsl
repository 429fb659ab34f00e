// Blocks of A and B where a step of k is a channel at a tap. The four steps of a block are neighbouring channels at one tap, so that what
// belongs to the tap is worked out once for all of them: in a kernel's order of steps, taps come before channels, of which there are
// params.channel_quads times four. Where these are more than there are (WHOLE_QUADS = 0), those past the last one are zero.
//
// Needs of conv/tiled_columns: PlaceA, PlaceB, columns, reach
// Needs of conv/tiled_forward or conv/tiled_input_gradient: a_channel, b_channel, channels, source, tap_of
// Needs of conv/window: dilation, kernel_size, position
// Needs of the generator: WHOLE_QUADS, params.channel_quads, params.k, params.w_d, params.w_h, params.w_w, w
// Gives: Step, Tap, a_block, b_block, step_of
struct Step {
    tap: vec3<u32>,
    channel: u32,
}

// The four steps from k on; past the end of k the last ones, which are not multiplied.
fn step_of(k: u32) -> Step {
    let block = min(k, params.k - 4u) / 4u;
    let tap = quotient(block, params.channel_quads);
    return Step(position(tap, kernel_size()), 4u * (block - tap * params.channel_quads));
}

// The channel of a step, or the last one.
fn inside(channel: u32) -> u32 { return select(min(channel, channels() - 1u), channel, WHOLE_QUADS == 1u); }

// Four rows of A at a channel.
fn a_rows(place: vec4<u32>, channel: u32) -> vec4<f32> {
    let at = place + inside(channel) * a_channel();
    let values = vec4<f32>(f32(w[at.x]), f32(w[at.y]), f32(w[at.z]), f32(w[at.w]));
    return select(vec4<f32>(), values, WHOLE_QUADS == 1u || channel < channels());
}

fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let step = step_of(k);
    let at = place + reach(step.tap, vec3<u32>(params.w_d, params.w_h, params.w_w));
    let c = step.channel;
    return mat4x4<f32>(a_rows(at, c), a_rows(at, c + 1u), a_rows(at, c + 2u), a_rows(at, c + 3u));
}

// Four columns of B at a channel, zero where their tap is outside of the image.
fn b_columns(at: vec4<u32>, there: vec4<bool>, channel: u32) -> vec4<f32> {
    let places = at + inside(channel) * b_channel();
    let values = vec4<f32>(source(places.x), source(places.y), source(places.z), source(places.w));
    return select(vec4<f32>(), values, there & vec4<bool>(WHOLE_QUADS == 1u || channel < channels()));
}

fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let step = step_of(k);
    let back = step.tap * dilation();
    let tap0 = tap_of(columns[place.y], back);
    let tap1 = tap_of(columns[place.y + 1u], back);
    let tap2 = tap_of(columns[place.y + 2u], back);
    let tap3 = tap_of(columns[place.y + 3u], back);
    let there = vec4<bool>(tap0.there, tap1.there, tap2.there, tap3.there);
    // Outside, any element will do.
    let at = place.x + select(vec4<u32>(), vec4<u32>(tap0.at, tap1.at, tap2.at, tap3.at), there);
    let c = step.channel;
    return mat4x4<f32>(
        b_columns(at, there, c), b_columns(at, there, c + 1u), b_columns(at, there, c + 2u), b_columns(at, there, c + 3u),
    );
}

// Where a tap of a column lies, and whether it is in the image.
struct Tap {
    at: u32,
    there: bool,
}
