// Kernel scaled_dot_product_attention
struct Params {
    all_tiles: u32,
    tiles: u32,
    parts: u32,
    heads: u32,
    kv_heads: u32,
    group: u32,
    queries: u32,
    keys: u32,
    d_quads: u32,
    v_quads: u32,
    row_quads: u32,
    causal: u32,
    scale: f32,
    q_start: u32,
    q_batch: u32,
    q_head: u32,
    q_row: u32,
    k_start: u32,
    k_batch: u32,
    k_head: u32,
    k_row: u32,
    v_start: u32,
    v_batch: u32,
    v_head: u32,
    v_row: u32,
    mask_start: u32,
    mask_batch: u32,
    mask_head: u32,
    mask_query: u32,
    mask_key: u32,
    p30: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const ROW_SIDE: u32 = 16u;
const COLUMN_SIDE: u32 = 8u;
const V_BLOCKS: u32 = 1u;
const HAS_MASK: u32 = 0u;
const LOG2_E: f32 = 1.44269504088896;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_k(i: u32) -> vec4<f32> {
    return vec4<f32>(k[i]);
}
fn quad_q(i: u32) -> vec4<f32> {
    return vec4<f32>(q[i]);
}
fn quad_v(i: u32) -> vec4<f32> {
    return vec4<f32>(v[i]);
}
fn store(i: u32, value: vec4<f32>) {
    b3[i] = value;
}
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
// Gives: masked, shows
fn shows(at: u32) -> bool { return true; }
fn masked(score: vec4<f32>, at: vec4<u32>) -> vec4<f32> { return score; }
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
// y_i = sum_j p_ij v_j. A workgroup owns queries and walks over the keys. Of each query it keeps the largest score m seen so far, the sum
// of e^(s - m) and that of e^(s - m) v, and rescales both when a larger score comes (online softmax: Milakov & Gimelshein 2018; Dao et
// al. 2022). A query that sees no key gives 0.
//
// Needs of attention/sums: Place, Sums, from_column, put_sums, scale_rows
// Needs of attention/tiles: COLUMNS, INVOCATIONS, K, Q, ROWS, Rows, exp4, is_hidden, k_rows, mask_of, products, put_weights, q_rows,
//     rows_there, scores, staged, weight_at, weights
// Needs of the generator: COLUMN_SIDE, V_BLOCKS, params.all_tiles, params.causal, params.d_quads, params.group, params.heads,
//     params.keys, params.parts, params.queries, params.tiles, params.v_batch, params.v_head, params.v_quads, params.v_row,
//     params.v_start, quad_k, quad_q, quad_v
// Gives: quad
const V: u32 = 2u;

fn quad(operand: u32, at: u32) -> vec4<f32> {
    if (operand == Q) { return quad_q(at); }
    if (operand == K) { return quad_k(at); }
    return quad_v(at);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups);
    if (tile >= params.all_tiles) { return; }
    let column = tile % params.parts * COLUMN_SIDE * V_BLOCKS;
    let owned = tile / params.parts;
    let batch = owned / params.tiles / params.heads;
    let head = owned / params.tiles % params.heads;
    let key_head = head / params.group;
    // The last queries have the most to see: they begin.
    let first_query = (params.tiles - 1u - owned % params.tiles) * ROWS;
    let keys_end = select(params.keys, min(params.keys, first_query + ROWS), params.causal == 1u);
    let queries = q_rows(batch, head, first_query);
    let values_start = params.v_start + batch * params.v_batch + key_head * params.v_head;
    let mask = mask_of(batch, head);
    let x = local % COLUMN_SIDE;
    let y = local / COLUMN_SIDE;
    let query = first_query + y * 4u;
    let rows = rows_there(query, params.queries);

    var sums = Sums();
    var largest = vec4<f32>(-3.4028234e38);
    // Of the keys that this invocation computes scores of; the largest score is that of all.
    var sum = vec4<f32>();
    for (var first_key = 0u; first_key < keys_end; first_key += COLUMNS) {
        if (is_hidden(first_query, first_key, COLUMNS, mask, local)) { continue; }
        let product = products(queries, k_rows(batch, key_head, first_key), params.d_quads, local);
        put_weights(product, local);
        let keys = vec4<u32>(first_key + x * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        for (var r = 0u; r < rows; r += 1u) {
            let at = weight_at(r, local);
            let s = scores(weights[at], vec4<u32>(query + r), keys, mask);
            weights[at] = s;
            staged[local][r] = max(max(s.x, s.y), max(s.z, s.w));
        }
        workgroupBarrier();
        let before = largest;
        for (var i = 0u; i < COLUMN_SIDE; i += 1u) { largest = max(largest, staged[y * COLUMN_SIDE + i]); }
        workgroupBarrier();
        let shrink = exp4(before - largest);
        sum *= shrink;
        for (var r = 0u; r < rows; r += 1u) {
            let at = weight_at(r, local);
            let p = exp4(weights[at] - largest[r]);
            weights[at] = p;
            sum[r] += (p.x + p.y) + (p.z + p.w);
        }
        sums = scale_rows(sums, shrink);
        let values = Rows(V, values_start, params.v_row, first_key, params.keys - 1u);
        sums = mix(sums, V_BLOCKS, from_column(values, column), params.v_quads - column, local);
    }

    staged[local] = sum;
    workgroupBarrier();
    var total = vec4<f32>();
    for (var i = 0u; i < COLUMN_SIDE; i += 1u) { total += staged[y * COLUMN_SIDE + i]; }
    let share = select(1.0 / total, vec4<f32>(), total == vec4<f32>());
    let row = params.heads * params.v_quads;
    let start = batch * params.queries * row + head * params.v_quads + column;
    let place = Place(start, row, first_query, params.queries, params.v_quads - column);
    put_sums(scale_rows(sums, share), V_BLOCKS, place, local);
}

// Kernel permute
struct Params {
    numel: u32,
    quads: u32,
    p2: u32,
    p3: u32,
    p4: u32,
    p5: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;

// n / d rounded down, for n and d below 2^31 and d > 0. By floats: software adapters divide integers lane by lane, and GPUs divide them
// by such steps as well. The reciprocal is a little too small, so that no estimate is too large; after the second one at most one d is
// left over.
fn quotient(n: u32, d: u32) -> u32 {
    let part = 0.99999 / f32(i32(d));
    let first = u32(i32(f32(i32(n)) * part));
    let rest = n - first * d;
    let second = u32(i32(f32(i32(rest)) * part));
    return first + second + select(0u, 1u, rest - second * d >= d);
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 256u + lane;
    if (thread >= params.quads) { return; }
    let t0 = thread * 4u;
    let t1 = quotient(t0, params.p2);
    let t2 = quotient(t1, params.p3);
    let t3 = quad_b0(((t0 - t1 * params.p2) + (t1 - t2 * params.p3) * params.p4 + t2 * params.p5) / 4u);
    b1[thread] = t3;
}
