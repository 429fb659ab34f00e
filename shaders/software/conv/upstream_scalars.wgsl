// dy at four neighbouring terms; 0 past the last one.
//
// Needs of conv/window or window/taps: output_size, volume
// Needs of the generator: load_y, params.groups, params.rows, params.terms
// Gives: upstream
fn upstream(g: u32, row: u32, term: u32) -> vec4<f32> {
    let positions = volume(output_size());
    var values = vec4<f32>();
    for (var s = 0u; s < 4u; s++) {
        let n = quotient(term + s, positions);
        let at = ((n * params.groups + g) * params.rows + row) * positions + term + s - n * positions;
        if (term + s < params.terms) { values[s] = load_y(at); }
    }
    return values;
}
