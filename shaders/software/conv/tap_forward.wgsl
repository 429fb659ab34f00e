// Position p of the output reads, by tap k, element p * stride + k * dilation - padding of the input: along each dim apart.
//
// Needs of conv/window: STRIDE
// Needs of conv/window or pool/sliding: dilation, padding
// Needs of conv/window or window/taps: input_size, output_size
// Gives: Tap, result_size, source_size, tap_of
struct Tap {
    at: vec3<u32>,
    inside: vec3<bool>,
}

fn source_size() -> vec3<u32> { return input_size(); }
fn result_size() -> vec3<u32> { return output_size(); }

// Positions before the first element wrap to huge ones, which are outside as well.
fn tap_of(p: vec3<u32>, k: vec3<u32>) -> Tap {
    let at = p * STRIDE + k * dilation() - padding();
    return Tap(at, at < input_size());
}
