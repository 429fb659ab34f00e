// Stores up to four neighbouring columns of a row, which are positions of images; `matrix` counts the groups of each part of the sum.
fn put(matrix: u32, row: u32, column: u32, values: vec4<f32>) {
    let positions = volume(result_size());
    let slot = matrix / params.groups;
    let channel = (matrix - slot * params.groups) * result_channels() + row;
    for (var j = 0u; j < min(4u, params.n - column); j++) {
        let n = quotient(column + j, positions);
        let at = (n * params.groups * result_channels() + channel) * positions + column + j - n * positions;
        finish(slot * params.total + at, values[j]);
    }
}
