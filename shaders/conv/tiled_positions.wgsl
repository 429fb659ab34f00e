// Where a column of C lies, which is a position of an image; `matrix` counts the groups of each part of the sum.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient: result_size
// Needs of conv/window: volume
// Needs of the generator: params.groups, params.m, params.total
// Gives: image_place
fn image_place(matrix: u32, column: u32) -> u32 {
    let positions = volume(result_size());
    let slot = matrix / params.groups;
    let n = quotient(column, positions);
    let channel = (n * params.groups + matrix - slot * params.groups) * params.m;
    return slot * params.total + channel * positions + column - n * positions;
}
