// Where a column of C lies, which is a position of an image; `matrix` counts the groups of each part of the sum.
fn image_place(matrix: u32, column: u32) -> u32 {
    let positions = volume(result_size());
    let slot = matrix / params.groups;
    let n = quotient(column, positions);
    let channel = (n * params.groups + matrix - slot * params.groups) * params.m;
    return slot * params.total + channel * positions + column - n * positions;
}
