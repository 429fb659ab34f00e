// The convolution, or its gradient with respect to the input, as a matrix product whose right operand is never stored: row r of the
// left one holds the weights of an output channel, a column is a position of an image, and the sum runs over the elements of the lines that
// the taps of a position read (Chellapilla, Puri & Simard 2006 made the columns in memory; Chetlur et al. 2014, arXiv:1410.0759, on the
// fly). A tile is ROWS rows by LANES * 4 columns; a lane has four neighbouring columns.
//
// Needs of attention/tiles: ROWS
// Needs of conv/window or window/taps: next, volume
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of software/conv/lines: line, lines_start, taps_size
// Needs of software/conv/put_quads or software/conv/put_scalars or software/conv/weight_product: put
// Needs of software/conv/rows_subgroup or software/conv/tiles_plain: add8
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size
// Needs of software/conv/tiles_plain: Sums
// Needs of the generator: LANES, params.batch, params.groups, params.quads, params.row_tiles, quad_lines
// Gives: Columns, run
struct Columns {
    n: vec4<u32>,
    i: vec4<u32>,
    there: vec4<bool>,
}

fn put8(g: u32, row: u32, columns: Columns, sums: Sums) {
    put(g, row, columns, sums.row0);
    put(g, row + 1u, columns, sums.row1);
    put(g, row + 2u, columns, sums.row2);
    put(g, row + 3u, columns, sums.row3);
    put(g, row + 4u, columns, sums.row4);
    put(g, row + 5u, columns, sums.row5);
    put(g, row + 6u, columns, sums.row6);
    put(g, row + 7u, columns, sums.row7);
}

fn run(tile: u32, lane: u32) {
    // Down the rows first, so that the tiles in flight read the same part of the source.
    let panel = quotient(tile, params.row_tiles);
    let row_tile = tile - panel * params.row_tiles;
    let column_tile = quotient(panel, params.groups);
    let g = panel - column_tile * params.groups;

    let positions = volume(result_size());
    let column = (column_tile * LANES + lane) * 4u + vec4<u32>(0u, 1u, 2u, 3u);
    let own = min(column, vec4<u32>(params.batch * positions - 1u));
    var columns = Columns(vec4<u32>(), vec4<u32>(), column == own);
    var p: array<vec3<u32>, 4>;
    var start: array<u32, 4>;
    for (var j = 0u; j < 4u; j++) {
        columns.n[j] = quotient(own[j], positions);
        columns.i[j] = own[j] - columns.n[j] * positions;
        p[j] = position(columns.i[j], result_size());
        start[j] = lines_start(columns.n[j], g);
    }

    var a_at = (g * params.row_tiles + row_tile) * volume(taps_size()) * params.quads * ROWS;
    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    var k = vec3<u32>(0u);
    for (var t = 0u; t < volume(taps_size()); t++) {
        let at0 = line(start[0], p[0], k, true);
        let at1 = line(start[1], p[1], k, true);
        let at2 = line(start[2], p[2], k, true);
        let at3 = line(start[3], p[3], k, true);
        for (var q = 0u; q < params.quads; q++) {
            let b = transpose(mat4x4<f32>(
                quad_lines(at0 + q),
                quad_lines(at1 + q),
                quad_lines(at2 + q),
                quad_lines(at3 + q),
            ));
            add8(&sums0, a_at, lane, b);
            if (ROWS > 8u) { add8(&sums1, a_at + 8u, lane, b); }
            if (ROWS > 16u) {
                add8(&sums2, a_at + 16u, lane, b);
                add8(&sums3, a_at + 24u, lane, b);
            }
            a_at += ROWS;
        }
        k = next(k, taps_size());
    }

    let row = row_tile * ROWS;
    put8(g, row, columns, sums0);
    if (ROWS > 8u) { put8(g, row + 8u, columns, sums1); }
    if (ROWS > 16u) {
        put8(g, row + 16u, columns, sums2);
        put8(g, row + 24u, columns, sums3);
    }
}
