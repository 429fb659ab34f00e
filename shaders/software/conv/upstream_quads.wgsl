// dy at four neighbouring terms, where the positions of an image are a multiple of four.
//
// Needs of conv/window or window/taps: output_size, volume
// Needs of the generator: load_y, params.groups, params.rows
// Gives: upstream
fn upstream(g: u32, row: u32, term: u32) -> vec4<f32> {
    let positions = volume(output_size());
    let n = quotient(term, positions);
    return load_y((((n * params.groups + g) * params.rows + row) * positions + term - n * positions) / 4u);
}
