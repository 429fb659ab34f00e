// What the attention kernels for GPUs share. Queries are [batch, heads, queries, d], keys [batch, kv_heads, keys, d], values
// [batch, kv_heads, keys, v_size]; heads / kv_heads query heads share a key head. Sizes of rows are multiples of four.
//   s_ij = scale q_i · k_j + mask_ij,   p_ij = e^(s_ij - l_i),   l_i = ln sum_j e^(s_ij),   y_i = sum_j p_ij v_j
//
// A workgroup owns ROWS rows of the result (queries, or keys) and walks over the others, COLUMNS at a time. Invocation (x, y) computes in
// blocks of 4 by 4: of the scores the block in block row y and block column x, of the result BLOCKS blocks in block row y, COLUMN_SIDE
// blocks apart. Operands are staged in workgroup memory, 16 elements of each row (or a few whole rows) at a time; weights go through
// workgroup memory from the scores to the result. So a score is never stored, and what an invocation holds does not depend on the
// length of the sequence (Dao et al. 2022, 2023).
//
// Needs of attention/backward_kv or attention/backward_q or attention/forward or attention/statistics: quad
// Needs of attention/tile_mask_bool or attention/tile_mask_float or attention/tile_mask_none: masked, shows
// Needs of the generator: COLUMN_SIDE, HAS_MASK, ROW_SIDE, params.causal, params.k_batch, params.k_head, params.k_row, params.k_start,
//     params.keys, params.mask_batch, params.mask_head, params.mask_key, params.mask_query, params.mask_start, params.q_batch,
//     params.q_head, params.q_row, params.q_start, params.queries, params.scale
// Gives: Block, COLUMNS, INVOCATIONS, K, Q, ROWS, Rows, begin, block_product, exp4, is_hidden, k_rows, mask_of, products, put_weights,
//     q_rows, rows_there, scores, staged, staged_block, weight_at, weights

// A block's rows are the columns of this matrix.
alias Block = mat4x4<f32>;

// Rows of an operand, counted from `first`: row r begins at the vec4 start + r * stride.
struct Rows { operand: u32, start: u32, stride: u32, first: u32, last: u32 }

const Q: u32 = 0u;
const K: u32 = 1u;
const ROWS: u32 = 4u * ROW_SIDE;
const COLUMNS: u32 = 4u * COLUMN_SIDE;
const INVOCATIONS: u32 = 128u;
const IS_TALL: bool = ROW_SIDE > COLUMN_SIDE;
const SIDES: u32 = ROW_SIDE + COLUMN_SIDE;
// From one vec4 of all staged rows to the next; an odd number, so that writers meet different banks.
const STEP: u32 = 4u * SIDES + 1u;

var<workgroup> staged: array<vec4<f32>, 4u * STEP>;
// weights[row * COLUMN_SIDE + block column]
var<workgroup> weights: array<vec4<f32>, ROWS * COLUMN_SIDE>;
var<workgroup> some_seen: u32;

// sum + a m, for a row a.
fn row_product(sum: vec4<f32>, a: vec4<f32>, m: Block) -> vec4<f32> {
    let first = fma(vec4<f32>(a.y), m[1], fma(vec4<f32>(a.x), m[0], sum));
    return fma(vec4<f32>(a.w), m[3], fma(vec4<f32>(a.z), m[2], first));
}

// sum + a m
fn block_product(sum: Block, a: Block, m: Block) -> Block {
    return Block(
        row_product(sum[0], a[0], m), row_product(sum[1], a[1], m), row_product(sum[2], a[2], m), row_product(sum[3], a[3], m),
    );
}

// e^x for x up to about 0: 0 below -87, NaN for NaN.
fn exp4(x: vec4<f32>) -> vec4<f32> {
    let inside = clamp(x, vec4<f32>(-87.0), vec4<f32>(87.0));
    let k = floor(inside * LOG2_E + 0.5);
    let r = fma(k, vec4<f32>(2.12194440e-4), fma(k, vec4<f32>(-0.693359375), inside));
    var p = fma(r, vec4<f32>(1.9875691500e-4), vec4<f32>(1.3981999507e-3));
    p = fma(p, r, vec4<f32>(8.3334519073e-3));
    p = fma(p, r, vec4<f32>(4.1665795894e-2));
    p = fma(p, r, vec4<f32>(1.6666665459e-1));
    p = fma(p, r, vec4<f32>(5.0000001201e-1));
    let y = (fma(p * r, r, r) + 1.0) * bitcast<vec4<f32>>(vec4<u32>(vec4<i32>(k) + 127) << vec4<u32>(23u));
    let nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return select(select(y, vec4<f32>(), x < vec4<f32>(-87.0)), x, nan);
}

// The vec4 at which a row begins; a row past the end repeats the last one.
fn begin(rows: Rows, row: u32) -> u32 {
    return rows.start + min(rows.first + row, rows.last) * rows.stride;
}

// The block of a bᵀ that this invocation computes, over rows of `depth` vec4s.
fn products(a: Rows, b: Rows, depth: u32, local: u32) -> Block {
    // An invocation stages a vec4 of three of the rows. The rows of a block lie SIDES apart, so that neighbours read neighbouring vec4s.
    let part = local % 4u;
    let row = local / 4u;
    let middle = select(b.operand, a.operand, IS_TALL);
    let from0 = begin(a, row);
    let from1 = select(begin(b, row), begin(a, row + 32u), IS_TALL);
    let from2 = begin(b, select(row + 32u, row, IS_TALL));
    let to = part * STEP + row % 4u * SIDES + row / 4u;
    var sum = Block();
    for (var done = 0u; done < depth; done += 4u) {
        let next = min(done + part, depth - 1u);
        staged[to] = quad(a.operand, from0 + next);
        staged[to + 8u] = quad(middle, from1 + next);
        staged[to + 16u] = quad(b.operand, from2 + next);
        workgroupBarrier();
        let end = min(depth - done, 4u) * STEP;
        for (var at = 0u; at < end; at += STEP) {
            let columns = transpose(staged_block(at + ROW_SIDE + local % COLUMN_SIDE, SIDES));
            let rows = at + local / COLUMN_SIDE;
            sum[0] = row_product(sum[0], staged[rows], columns);
            sum[1] = row_product(sum[1], staged[rows + SIDES], columns);
            sum[2] = row_product(sum[2], staged[rows + 2u * SIDES], columns);
            sum[3] = row_product(sum[3], staged[rows + 3u * SIDES], columns);
        }
        workgroupBarrier();
    }
    return sum;
}

// Four staged vec4s, so far from one another.
fn staged_block(at: u32, stride: u32) -> Block {
    return Block(staged[at], staged[at + stride], staged[at + 2u * stride], staged[at + 3u * stride]);
}

// Where a row of this invocation's block of weights stands.
fn weight_at(row: u32, local: u32) -> u32 {
    return (local / COLUMN_SIDE * 4u + row) * COLUMN_SIDE + local % COLUMN_SIDE;
}

// Writes this invocation's block of the weights, for itself and, behind the next barrier, for all.
fn put_weights(block: Block, local: u32) {
    let at = weight_at(0u, local);
    weights[at] = block[0];
    weights[at + COLUMN_SIDE] = block[1];
    weights[at + 2u * COLUMN_SIDE] = block[2];
    weights[at + 3u * COLUMN_SIDE] = block[3];
}

// The rows of a block that begin at `row` and are there: a count that no compiler knows, so that loops over them stay short.
fn rows_there(row: u32, rows: u32) -> u32 { return min(max(row, rows) - row, 4u); }

// Scores of four pairs of a query and a key from the products: -infinity where the query does not see the key, or there is no such pair.
fn scores(product: vec4<f32>, queries: vec4<u32>, keys: vec4<u32>, mask: u32) -> vec4<f32> {
    let all = vec4<u32>(params.keys);
    let end = select(all, min(all, queries + vec4<u32>(1u)), vec4<bool>(params.causal == 1u));
    let seen = (keys < end) & (queries < vec4<u32>(params.queries));
    return select(vec4<f32>(-infinity()), masked(params.scale * product, mask_at(queries, keys, mask)), seen);
}

// The mask of a batch and head, and its elements.
fn mask_of(batch: u32, head: u32) -> u32 {
    return params.mask_start + batch * params.mask_batch + head * params.mask_head;
}
fn mask_at(queries: vec4<u32>, keys: vec4<u32>, mask: u32) -> vec4<u32> {
    let query = min(queries, vec4<u32>(params.queries - 1u));
    let key = min(keys, vec4<u32>(params.keys - 1u));
    return vec4<u32>(mask) + query * params.mask_query + key * params.mask_key;
}

// Whether the mask hides a whole tile, of so many keys a query.
fn is_hidden(query: u32, key: u32, keys: u32, mask: u32, local: u32) -> bool {
    if (HAS_MASK == 0u) { return false; }
    if (local == 0u) { some_seen = 0u; }
    workgroupBarrier();
    var sees = false;
    let queries = min(ROWS * COLUMNS / keys, params.queries - query);
    for (var i = local; i < queries * keys; i += INVOCATIONS) {
        sees |= shows(mask_at(vec4<u32>(query + i / keys), vec4<u32>(key + i % keys), mask).x);
    }
    // All who write write the same.
    if (sees) { some_seen = 1u; }
    return workgroupUniformLoad(&some_seen) == 0u;
}

fn q_rows(batch: u32, head: u32, first: u32) -> Rows {
    return Rows(Q, params.q_start + batch * params.q_batch + head * params.q_head, params.q_row, first, params.queries - 1u);
}
fn k_rows(batch: u32, head: u32, first: u32) -> Rows {
    return Rows(K, params.k_start + batch * params.k_batch + head * params.k_head, params.k_row, first, params.keys - 1u);
}
