// Walks down the rows of windows of a plane: finding a place takes longer than searching there, so an invocation goes on to the windows below.
// Offsets into the input count units of UNIT elements; a column of the walk has WINDOWS windows beside each other and COLUMN units.
//
// Needs of conv/column: COLUMN
// Needs of conv/window or window/taps: volume
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of the generator: STRIDE_D, STRIDE_H, UNIT, WINDOWS, params.cells_d, params.cells_h, params.cells_w, params.in_d, params.in_h,
//     params.in_w, params.iterations, params.out_d, params.out_h, params.out_w, params.rows
// Gives: Walk
struct Walk {
    // The first unit that the first windows read, and their place in the output.
    input: u32,
    output: u32,
    // Depth, first row and column of windows in the plane, and the row that the walk ends before.
    depth: u32,
    row: u32,
    column: u32,
    end: u32,
    // Units of a row and of a slice of the input.
    row_units: u32,
    slice_units: u32,
}

// Walk number i: `turns` of the `rows` of windows, in one of the planes of cells_d by cells_h by cells_w walks.
fn walk(i: u32) -> Walk {
    let cells = vec3<u32>(params.cells_d, params.cells_h, params.cells_w);
    let n = quotient(i, volume(cells));
    let cell = position(i - n * volume(cells), cells);
    let row = cell.y * params.iterations;
    let units = params.in_w / UNIT;
    return Walk(
        ((n * params.in_d + cell.x * STRIDE_D) * params.in_h + row * STRIDE_H) * units + cell.z * COLUMN,
        ((n * params.out_d + cell.x) * params.out_h + row) * params.out_w + cell.z * WINDOWS,
        cell.x,
        row,
        cell.z * WINDOWS,
        min(row + params.iterations, params.rows),
        units,
        units * params.in_h,
    );
}
