// Position q of the input is read, by tap k, by the output's position p with p * stride + k * dilation - padding = q: along each dim
// apart.
//
// Needs of conv/window: STRIDE
// Needs of conv/window or pool/sliding: dilation, padding
// Needs of conv/window or window/taps: input_size, output_size
// Gives: Tap, result_size, source_size, tap_of
struct Tap {
    at: vec3<u32>,
    inside: vec3<bool>,
}

fn source_size() -> vec3<u32> { return output_size(); }
fn result_size() -> vec3<u32> { return input_size(); }

fn tap_of(q: vec3<u32>, k: vec3<u32>) -> Tap {
    let reach = q + padding();
    let back = k * dilation();
    let at = (reach - back) / STRIDE;
    return Tap(at, (back <= reach) & (at * STRIDE + back == reach) & (at < output_size()));
}
