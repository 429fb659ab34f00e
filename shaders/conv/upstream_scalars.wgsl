// dy at four positions from position i of image n on, in any layout; 0 past the end of the chunk.
fn upstream(row: u32, n: u32, i: u32, term: u32, end: u32) -> vec4<f32> {
    let positions = volume(output_size());
    var values = vec4<f32>();
    for (var s = 0u; s < 4u; s++) {
        let image = n + (i + s) / positions;
        let p = position((i + s) % positions, output_size());
        let inside = term + s < end;
        let at = row + select(0u, image * params.y_n + dot(p, vec3<u32>(params.y_d, params.y_h, params.y_w)), inside);
        values[s] = select(0.0, f32(y[at]), inside);
    }
    return values;
}
