// The result of a kernel by tiles: sums of rows of an operand, weighted by a tile of weights.
//
// Needs of attention/backward_kv or attention/backward_q or attention/forward or attention/statistics: quad
// Needs of attention/tiles: Block, COLUMNS, INVOCATIONS, Rows, begin, block_product, staged, staged_block, weight_at, weights
// Needs of the generator: COLUMN_SIDE, store
// Gives: Place, Sums, from_column, put_sums, scale_rows

// The blocks of the result that an invocation holds, COLUMN_SIDE blocks apart; narrow rows need but one.
struct Sums { b0: Block, b1: Block }

// Where the rows of a result go: row r to the vec4s from start + r * stride on.
struct Place { start: u32, stride: u32, first: u32, rows: u32, width: u32 }

// Each row of the sums by its factor.
fn scale_rows(sums: Sums, by: vec4<f32>) -> Sums { return Sums(scale_block(sums.b0, by), scale_block(sums.b1, by)); }
fn scale_block(block: Block, by: vec4<f32>) -> Block {
    return Block(block[0] * by.x, block[1] * by.y, block[2] * by.z, block[3] * by.w);
}

// The same rows without the first vec4s.
fn from_column(rows: Rows, column: u32) -> Rows {
    return Rows(rows.operand, rows.start + column, rows.stride, rows.first, rows.last);
}

// sums + weights · b, where b has rows of `width` vec4s, of which the invocation computes `blocks`.
fn mix(before: Sums, blocks: u32, b: Rows, width: u32, local: u32) -> Sums {
    // 256 vec4s are staged at a time, two an invocation: so many rows.
    let across = COLUMN_SIDE * blocks;
    let step = 2u * INVOCATIONS / across;
    let row = local / across;
    let column = min(local % across, width - 1u);
    let count = min(COLUMNS, b.last + 1u - b.first);
    var sums = before;
    for (var done = 0u; done < count; done += step) {
        staged[local] = quad(b.operand, begin(b, done + row) + column);
        staged[local + INVOCATIONS] = quad(b.operand, begin(b, done + row + step / 2u) + column);
        workgroupBarrier();
        let there = (min(step, count - done) + 3u) / 4u;
        for (var turn = 0u; turn < there; turn += 1u) {
            let p = weight_at(0u, local) - local % COLUMN_SIDE + done / 4u + turn;
            let w = Block(weights[p], weights[p + COLUMN_SIDE], weights[p + 2u * COLUMN_SIDE], weights[p + 3u * COLUMN_SIDE]);
            let at = turn * 4u * across + local % COLUMN_SIDE;
            sums.b0 = block_product(sums.b0, w, staged_block(at, across));
            if (blocks > 1u) { sums.b1 = block_product(sums.b1, w, staged_block(at + COLUMN_SIDE, across)); }
        }
        workgroupBarrier();
    }
    return sums;
}

// Stores the sums, in rows of `place.width` vec4s.
fn put_sums(sums: Sums, blocks: u32, place: Place, local: u32) {
    put_block(sums.b0, place, local % COLUMN_SIDE, local);
    if (blocks > 1u) { put_block(sums.b1, place, local % COLUMN_SIDE + COLUMN_SIDE, local); }
}
fn put_block(block: Block, place: Place, column: u32, local: u32) {
    let row = place.first + local / COLUMN_SIDE * 4u;
    let at = place.start + row * place.stride + column;
    if (column >= place.width) { return; }
    if (row < place.rows) { store(at, block[0]); }
    if (row + 1u < place.rows) { store(at + place.stride, block[1]); }
    if (row + 2u < place.rows) { store(at + 2u * place.stride, block[2]); }
    if (row + 3u < place.rows) { store(at + 3u * place.stride, block[3]); }
}
