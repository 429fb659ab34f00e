// The gradient of a convolution with respect to its weight, as a matrix product whose right operand is never stored: a row is an output
// channel, a column an element of the line that a tap reads, and the sum runs over the positions (n, p) of the output:
//   dw[o, c, k] = sum over n, p of dy[n, o, p] x[n, c, p * stride + k * dilation - padding].
// A tile is ROWS rows by LANES * 4 columns; a lane has one quad of the line of one tap. The positions are cut into chunks, each summed by
// tiles of its own.
//
// Needs of attention/tiles: ROWS
// Needs of conv/window: kernel_size
// Needs of conv/window or window/taps: next, number, output_size, volume
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of software/conv/lines: element_of, line, lines_start, taps_size
// Needs of software/conv/tiles_plain: Sums
// Needs of software/conv/upstream_in_place or software/conv/upstream_packed: add_terms, upstream_row, upstream_terms
// Needs of the generator: LANES, LINES, params.chunk, params.groups, params.quads, params.row_tiles, params.rows, params.source_channels,
//     params.terms, params.total, quad_lines
// Gives: put, run

// Stores one row of the lane's quad.
fn put(first: u32, row: u32, tap: vec3<u32>, e: u32, there: bool, values: vec4<f32>) {
    if (!there || row >= params.rows) { return; }
    for (var j = 0u; j < 4u; j++) {
        let element = element_of(e + j);
        var k = tap;
        if (LINES == 1u) { k.z = element.k; }
        let filter_at = (row * params.source_channels + element.c) * volume(kernel_size()) + number(k, kernel_size());
        if (element.c < params.source_channels) { finish(first + filter_at, values[j]); }
    }
}

fn put8(first: u32, row: u32, tap: vec3<u32>, e: u32, there: bool, sums: Sums) {
    put(first, row, tap, e, there, sums.row0);
    put(first, row + 1u, tap, e, there, sums.row1);
    put(first, row + 2u, tap, e, there, sums.row2);
    put(first, row + 3u, tap, e, there, sums.row3);
    put(first, row + 4u, tap, e, there, sums.row4);
    put(first, row + 5u, tap, e, there, sums.row5);
    put(first, row + 6u, tap, e, there, sums.row6);
    put(first, row + 7u, tap, e, there, sums.row7);
}

fn run(tile: u32, lane: u32) {
    // Along the columns first: neighbours read the same rows of dy.
    let columns = volume(taps_size()) * params.quads;
    let column_tiles = (columns + LANES - 1u) / LANES;
    let panel = quotient(tile, column_tiles);
    let column = (tile - panel * column_tiles) * LANES + lane;
    let part = quotient(panel, params.row_tiles);
    let row_tile = panel - part * params.row_tiles;
    let slot = quotient(part, params.groups);
    let g = part - slot * params.groups;

    let own = min(column, columns - 1u);
    let t = quotient(own, params.quads);
    let q = own - t * params.quads;
    let tap = position(t, taps_size());

    let first_term = slot * params.chunk;
    let end = min(first_term + params.chunk, params.terms);
    var n = quotient(first_term, volume(output_size()));
    var i = first_term - n * volume(output_size());
    var p = position(i, output_size());
    let row0 = upstream_row(row_tile, 0u, lane);
    let row8 = upstream_row(row_tile, 8u, lane);
    let row16 = upstream_row(row_tile, 16u, lane);
    let row24 = upstream_row(row_tile, 24u, lane);
    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    for (var term = first_term; term < end; term += 4u) {
        let terms_at = upstream_terms(g, row_tile, term, n, i);
        var b: mat4x4<f32>;
        for (var s = 0u; s < 4u; s++) {
            b[s] = quad_lines(line(lines_start(n, g), p, tap, term + s < end) + q);
            i++;
            p = next(p, output_size());
            if (i == volume(output_size())) {
                i = 0u;
                n++;
            }
        }
        add_terms(&sums0, terms_at + row0, lane, b);
        if (ROWS > 8u) { add_terms(&sums1, terms_at + row8, lane, b); }
        if (ROWS > 16u) {
            add_terms(&sums2, terms_at + row16, lane, b);
            add_terms(&sums3, terms_at + row24, lane, b);
        }
    }

    let first = slot * params.total + g * params.rows * params.source_channels * volume(kernel_size());
    let row = row_tile * ROWS;
    let there = column < columns;
    put8(first, row, tap, q * 4u, there, sums0);
    if (ROWS > 8u) { put8(first, row + 8u, tap, q * 4u, there, sums1); }
    if (ROWS > 16u) {
        put8(first, row + 16u, tap, q * 4u, there, sums2);
        put8(first, row + 24u, tap, q * 4u, there, sums3);
    }
}
