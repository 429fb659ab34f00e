// Position q of the input is read, by tap k, by the output's position p with p * stride + k * dilation - padding = q.
struct Tap {
    at: vec3<u32>,
    inside: bool,
}

fn result_size() -> vec3<u32> { return input_size(); }

fn tap_of(q: vec3<u32>, k: vec3<u32>) -> Tap {
    let reach = q + padding();
    let back = k * dilation();
    let at = (reach - back) / STRIDE;
    return Tap(at, all(back <= reach) && all(at * STRIDE + back == reach) && all(at < output_size()));
}
