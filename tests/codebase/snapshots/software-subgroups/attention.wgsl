// Kernel scaled_dot_product_attention
struct Params {
    all_tiles: u32,
    tiles: u32,
    heads: u32,
    kv_heads: u32,
    group: u32,
    queries: u32,
    keys: u32,
    d_quads: u32,
    v_quads: u32,
    causal: u32,
    scale: f32,
    p11: u32,
    p12: u32,
    p13: u32,
    p14: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b1: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> b3: array<vec4<f32>>;
const WORKGROUP: u32 = 16u;
const LANES: u32 = 8u;
const ROWS: u32 = 4u;
const D_OCTETS: u32 = 1u;
const V_OCTETS: u32 = 1u;
const LOG2_E: f32 = 1.44269504088896;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// 2^k for -126 <= k <= 127.
fn power_of_two(k: i32) -> f32 {
    return bitcast<f32>(u32(k + 127) << 23u);
}

// e^x: 0 below -103.98, infinity above 88.7228, NaN for NaN. Without branches, which lanes side by side would all take.
fn safe_exp(x: f32) -> f32 {
    let inside = clamp(x, -103.98, 88.72284);
    let k = floor(inside * LOG2_E + 0.5);
    let r = (inside - k * 0.693359375) + k * 2.12194440e-4;
    let p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r
        + 1.6666665459e-1) * r + 5.0000001201e-1;
    // Two steps, since 2^k itself may overflow or be subnormal.
    let half = i32(k) / 2;
    let y = ((p * r * r + r) + 1.0) * power_of_two(half) * power_of_two(i32(k) - half);
    let bounded = select(select(y, 0.0, x < -103.98), infinity(), x > 88.72284);
    return select(bounded, x, is_nan(x));
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
fn quad_b1(i: u32) -> vec4<f32> {
    return vec4<f32>(b1[i]);
}
fn quad_b2(i: u32) -> vec4<f32> {
    return vec4<f32>(b2[i]);
}
fn load_k(i: u32) -> vec4<f32> {
    let t0 = quad_b0(i);
    return t0;
}
fn load_q(i: u32) -> vec4<f32> {
    let t1 = quad_b1(i);
    return t1;
}
fn load_v(i: u32) -> vec4<f32> {
    let t2 = quad_b2(i);
    return t2;
}
fn store(i: u32, value: vec4<f32>) {
    b3[i] = value;
}
// Attention on software adapters with subgroups of at least eight lanes. A lane owns a few rows (queries, or keys), whose vectors and
// sums it holds. Rows of the other side come one after the other: of such a row each of eight lanes loads one vec4, and
// subgroupBroadcast hands it round, since loads cost most there and broadcasts almost nothing. So no row goes through memory once a
// query, no score is stored, and no lane needs another's sums.
// Parts of eight vec4s are written out, since a broadcast's lane must be known when the kernel is compiled. What is past the end of
// a row is zero.
//
// Needs of the generator: LANES, WORKGROUP
// Gives: Octet, Row, Shared, row_add, row_dot, row_scale, tile_index

// Eight vec4s of a row.
struct Octet {
    c0: vec4<f32>,
    c1: vec4<f32>,
    c2: vec4<f32>,
    c3: vec4<f32>,
    c4: vec4<f32>,
    c5: vec4<f32>,
    c6: vec4<f32>,
    c7: vec4<f32>,
}

// A row that a lane owns.
struct Row {
    o0: Octet,
    o1: Octet,
    o2: Octet,
    o3: Octet,
    o4: Octet,
    o5: Octet,
    o6: Octet,
    o7: Octet,
}

// A row that the lanes share: of each octet lane i holds the vec4 i modulo 8.
struct Shared {
    o0: vec4<f32>,
    o1: vec4<f32>,
    o2: vec4<f32>,
    o3: vec4<f32>,
    o4: vec4<f32>,
    o5: vec4<f32>,
    o6: vec4<f32>,
    o7: vec4<f32>,
}

fn octet_dot(x: Octet, s: vec4<f32>) -> vec4<f32> {
    var even = x.c0 * subgroupBroadcast(s, 0u);
    var odd = x.c1 * subgroupBroadcast(s, 1u);
    even += x.c2 * subgroupBroadcast(s, 2u);
    odd += x.c3 * subgroupBroadcast(s, 3u);
    even += x.c4 * subgroupBroadcast(s, 4u);
    odd += x.c5 * subgroupBroadcast(s, 5u);
    even += x.c6 * subgroupBroadcast(s, 6u);
    odd += x.c7 * subgroupBroadcast(s, 7u);
    return even + odd;
}

fn octet_add(x: Octet, weight: f32, s: vec4<f32>) -> Octet {
    return Octet(
        x.c0 + weight * subgroupBroadcast(s, 0u),
        x.c1 + weight * subgroupBroadcast(s, 1u),
        x.c2 + weight * subgroupBroadcast(s, 2u),
        x.c3 + weight * subgroupBroadcast(s, 3u),
        x.c4 + weight * subgroupBroadcast(s, 4u),
        x.c5 + weight * subgroupBroadcast(s, 5u),
        x.c6 + weight * subgroupBroadcast(s, 6u),
        x.c7 + weight * subgroupBroadcast(s, 7u),
    );
}

fn octet_scale(x: Octet, f: f32) -> Octet {
    return Octet(x.c0 * f, x.c1 * f, x.c2 * f, x.c3 * f, x.c4 * f, x.c5 * f, x.c6 * f, x.c7 * f);
}

// The product of a lane's own row and a shared one, both of `octets` parts.
fn row_dot(x: ptr<function, Row>, s: Shared, octets: u32) -> f32 {
    var sum = octet_dot((*x).o0, s.o0);
    if (octets > 1u) { sum += octet_dot((*x).o1, s.o1); }
    if (octets > 2u) { sum += octet_dot((*x).o2, s.o2); }
    if (octets > 3u) { sum += octet_dot((*x).o3, s.o3); }
    if (octets > 4u) { sum += octet_dot((*x).o4, s.o4); }
    if (octets > 5u) { sum += octet_dot((*x).o5, s.o5); }
    if (octets > 6u) { sum += octet_dot((*x).o6, s.o6); }
    if (octets > 7u) { sum += octet_dot((*x).o7, s.o7); }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

fn row_add(x: ptr<function, Row>, weight: f32, s: Shared, octets: u32) {
    (*x).o0 = octet_add((*x).o0, weight, s.o0);
    if (octets > 1u) { (*x).o1 = octet_add((*x).o1, weight, s.o1); }
    if (octets > 2u) { (*x).o2 = octet_add((*x).o2, weight, s.o2); }
    if (octets > 3u) { (*x).o3 = octet_add((*x).o3, weight, s.o3); }
    if (octets > 4u) { (*x).o4 = octet_add((*x).o4, weight, s.o4); }
    if (octets > 5u) { (*x).o5 = octet_add((*x).o5, weight, s.o5); }
    if (octets > 6u) { (*x).o6 = octet_add((*x).o6, weight, s.o6); }
    if (octets > 7u) { (*x).o7 = octet_add((*x).o7, weight, s.o7); }
}

fn row_scale(x: ptr<function, Row>, f: f32, octets: u32) {
    (*x).o0 = octet_scale((*x).o0, f);
    if (octets > 1u) { (*x).o1 = octet_scale((*x).o1, f); }
    if (octets > 2u) { (*x).o2 = octet_scale((*x).o2, f); }
    if (octets > 3u) { (*x).o3 = octet_scale((*x).o3, f); }
    if (octets > 4u) { (*x).o4 = octet_scale((*x).o4, f); }
    if (octets > 5u) { (*x).o5 = octet_scale((*x).o5, f); }
    if (octets > 6u) { (*x).o6 = octet_scale((*x).o6, f); }
    if (octets > 7u) { (*x).o7 = octet_scale((*x).o7, f); }
}

// A tile is what a subgroup works on: LANES * ROWS neighbouring rows of one head.
fn tile_index(group: vec3<u32>, groups: vec3<u32>, subgroup: u32) -> u32 {
    return workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
}
// Gives: masked
fn masked(score: f32, row: u32, key: u32) -> f32 { return score; }
// Rows of q, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: D_OCTETS, load_q, params.d_quads
// Gives: q_own, q_shared
fn q_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_q(row * params.d_quads + min(c, params.d_quads - 1u)), c < params.d_quads);
}
fn q_octet(row: u32, c: u32) -> Octet {
    return Octet(
        q_quad(row, c), q_quad(row, c + 1u), q_quad(row, c + 2u), q_quad(row, c + 3u),
        q_quad(row, c + 4u), q_quad(row, c + 5u), q_quad(row, c + 6u), q_quad(row, c + 7u),
    );
}
fn q_own(row: u32) -> Row {
    var x: Row;
    x.o0 = q_octet(row, 0u);
    if (D_OCTETS > 1u) { x.o1 = q_octet(row, 8u); }
    if (D_OCTETS > 2u) { x.o2 = q_octet(row, 16u); }
    if (D_OCTETS > 3u) { x.o3 = q_octet(row, 24u); }
    if (D_OCTETS > 4u) { x.o4 = q_octet(row, 32u); }
    if (D_OCTETS > 5u) { x.o5 = q_octet(row, 40u); }
    if (D_OCTETS > 6u) { x.o6 = q_octet(row, 48u); }
    if (D_OCTETS > 7u) { x.o7 = q_octet(row, 56u); }
    return x;
}
// Rows of k, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: D_OCTETS, load_k, params.d_quads
// Gives: k_own, k_shared
fn k_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_k(row * params.d_quads + min(c, params.d_quads - 1u)), c < params.d_quads);
}
fn k_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s: Shared;
    s.o0 = k_quad(row, c);
    if (D_OCTETS > 1u) { s.o1 = k_quad(row, c + 8u); }
    if (D_OCTETS > 2u) { s.o2 = k_quad(row, c + 16u); }
    if (D_OCTETS > 3u) { s.o3 = k_quad(row, c + 24u); }
    if (D_OCTETS > 4u) { s.o4 = k_quad(row, c + 32u); }
    if (D_OCTETS > 5u) { s.o5 = k_quad(row, c + 40u); }
    if (D_OCTETS > 6u) { s.o6 = k_quad(row, c + 48u); }
    if (D_OCTETS > 7u) { s.o7 = k_quad(row, c + 56u); }
    return s;
}
// Rows of v, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: V_OCTETS, load_v, params.v_quads
// Gives: v_own, v_shared
fn v_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_v(row * params.v_quads + min(c, params.v_quads - 1u)), c < params.v_quads);
}
fn v_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s: Shared;
    s.o0 = v_quad(row, c);
    if (V_OCTETS > 1u) { s.o1 = v_quad(row, c + 8u); }
    if (V_OCTETS > 2u) { s.o2 = v_quad(row, c + 16u); }
    if (V_OCTETS > 3u) { s.o3 = v_quad(row, c + 24u); }
    if (V_OCTETS > 4u) { s.o4 = v_quad(row, c + 32u); }
    if (V_OCTETS > 5u) { s.o5 = v_quad(row, c + 40u); }
    if (V_OCTETS > 6u) { s.o6 = v_quad(row, c + 48u); }
    if (V_OCTETS > 7u) { s.o7 = v_quad(row, c + 56u); }
    return s;
}
// A lane's queries: which they are, and their scores.
//
// Needs of attention/tiles: ROWS
// Needs of software/attention/mask_bool or software/attention/mask_float or software/attention/mask_none: masked
// Needs of the generator: LANES, params.causal, params.group, params.heads, params.keys, params.kv_heads, params.queries, params.scale,
//     params.tiles
// Gives: Query, place_of, query_of, score_of, tile_of

// Which rows a tile has: those of one head from `first` on, and the keys that its last query sees.
struct Tile {
    head: u32,
    first: u32,
    first_key: u32,
    keys: u32,
}

fn tile_of(index: u32) -> Tile {
    let head = index / params.tiles;
    let first = index % params.tiles * (LANES * ROWS);
    let batch = head / params.heads;
    let key_head = batch * params.kv_heads + head % params.heads / params.group;
    let past = min(first + LANES * ROWS, params.queries);
    let keys = select(params.keys, min(params.keys, past), params.causal == 1u);
    return Tile(head, first, key_head * params.keys, keys);
}

// One query of a lane. A query past the last one repeats it and is not stored.
struct Query {
    row: u32,
    seen: u32,
    is_inside: bool,
}

fn query_of(tile: Tile, lane: u32, r: u32) -> Query {
    let own = tile.first + r * LANES + lane;
    let i = min(own, params.queries - 1u);
    let seen = select(params.keys, min(params.keys, i + 1u), params.causal == 1u);
    return Query(tile.head * params.queries + i, seen, own < params.queries);
}

// The score of a product with the key `j`; -infinity where the query does not see it.
fn score_of(query: Query, product: f32, j: u32) -> f32 {
    let score = masked(params.scale * product, query.row, min(j, params.keys - 1u));
    return select(-infinity(), score, j < query.seen);
}

// Where the row of a query is stored: heads lie side by side in one row of the sequence.
fn place_of(query: Query) -> u32 {
    let head = query.row / params.queries;
    let batch = head / params.heads;
    return (batch * params.queries + query.row % params.queries) * params.heads + head % params.heads;
}
// y_i = sum_j p_ij v_j with online softmax (Milakov & Gimelshein 2018; Dao et al. 2022), four keys at a time, so that sums are rescaled
// once for four. A query that sees no key gives 0.
//
// Needs of attention/tiles: ROWS
// Needs of software/attention/lanes: Octet, Row, Shared, row_add, row_dot, row_scale, tile_index
// Needs of software/attention/lanes_k: k_shared
// Needs of software/attention/lanes_kv_gradient or software/attention/lanes_queries: Query, query_of
// Needs of software/attention/lanes_q: q_own
// Needs of software/attention/lanes_queries: place_of, score_of, tile_of
// Needs of software/attention/lanes_v: v_shared
// Needs of the generator: D_OCTETS, V_OCTETS, WORKGROUP, params.all_tiles, params.keys, params.v_quads, store
// Gives: put, put_row

struct Softmax {
    largest: f32,
    sum: f32,
    // What the sums before are to be multiplied by.
    shrink: f32,
    weights: vec4<f32>,
}

fn softmax_step(before: Softmax, s: vec4<f32>) -> Softmax {
    let largest = max(before.largest, max(max(s.x, s.y), max(s.z, s.w)));
    let shrink = safe_exp(before.largest - largest);
    let w = vec4<f32>(
        safe_exp(s.x - largest), safe_exp(s.y - largest), safe_exp(s.z - largest), safe_exp(s.w - largest),
    );
    return Softmax(largest, before.sum * shrink + ((w.x + w.y) + (w.z + w.w)), shrink, w);
}

// Keys and values of four places.
struct Keys { k0: Shared, k1: Shared, k2: Shared, k3: Shared }
struct Values { v0: Shared, v1: Shared, v2: Shared, v3: Shared }

fn visit(query: Query, q: ptr<function, Row>, y: ptr<function, Row>, so_far: Softmax, k: Keys, v: Values, j: u32) -> Softmax {
    let s = vec4<f32>(
        score_of(query, row_dot(q, k.k0, D_OCTETS), j),
        score_of(query, row_dot(q, k.k1, D_OCTETS), j + 1u),
        score_of(query, row_dot(q, k.k2, D_OCTETS), j + 2u),
        score_of(query, row_dot(q, k.k3, D_OCTETS), j + 3u),
    );
    let now = softmax_step(so_far, s);
    row_scale(y, now.shrink, V_OCTETS);
    row_add(y, now.weights.x, v.v0, V_OCTETS);
    row_add(y, now.weights.y, v.v1, V_OCTETS);
    row_add(y, now.weights.z, v.v2, V_OCTETS);
    row_add(y, now.weights.w, v.v3, V_OCTETS);
    return now;
}

fn put(query: Query, first: u32, c: u32, y: vec4<f32>) {
    if (query.is_inside && c < params.v_quads) { store(first + c, y); }
}
fn put_octet(query: Query, first: u32, c: u32, y: Octet, scale: f32) {
    put(query, first, c, y.c0 * scale);
    put(query, first, c + 1u, y.c1 * scale);
    put(query, first, c + 2u, y.c2 * scale);
    put(query, first, c + 3u, y.c3 * scale);
    put(query, first, c + 4u, y.c4 * scale);
    put(query, first, c + 5u, y.c5 * scale);
    put(query, first, c + 6u, y.c6 * scale);
    put(query, first, c + 7u, y.c7 * scale);
}
fn put_row(query: Query, y: ptr<function, Row>, sum: f32) {
    let first = place_of(query) * params.v_quads;
    let scale = select(1.0 / sum, 0.0, sum == 0.0);
    put_octet(query, first, 0u, (*y).o0, scale);
    if (V_OCTETS > 1u) { put_octet(query, first, 8u, (*y).o1, scale); }
    if (V_OCTETS > 2u) { put_octet(query, first, 16u, (*y).o2, scale); }
    if (V_OCTETS > 3u) { put_octet(query, first, 24u, (*y).o3, scale); }
    if (V_OCTETS > 4u) { put_octet(query, first, 32u, (*y).o4, scale); }
    if (V_OCTETS > 5u) { put_octet(query, first, 40u, (*y).o5, scale); }
    if (V_OCTETS > 6u) { put_octet(query, first, 48u, (*y).o6, scale); }
    if (V_OCTETS > 7u) { put_octet(query, first, 56u, (*y).o7, scale); }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = tile_index(group, groups, subgroup);
    if (index >= params.all_tiles) { return; }
    let tile = tile_of(index);
    let start = Softmax(-3.4028234e38, 0.0, 1.0, vec4<f32>());
    let query0 = query_of(tile, lane, 0u);
    let query1 = query_of(tile, lane, 1u);
    let query2 = query_of(tile, lane, 2u);
    let query3 = query_of(tile, lane, 3u);
    var q0 = q_own(query0.row);
    var q1 = Row();
    var q2 = Row();
    var q3 = Row();
    if (ROWS > 1u) { q1 = q_own(query1.row); }
    if (ROWS > 2u) {
        q2 = q_own(query2.row);
        q3 = q_own(query3.row);
    }
    var y0 = Row();
    var y1 = Row();
    var y2 = Row();
    var y3 = Row();
    var softmax0 = start;
    var softmax1 = start;
    var softmax2 = start;
    var softmax3 = start;
    for (var j = 0u; j < tile.keys; j += 4u) {
        // Places past the last key repeat it; their scores are -infinity.
        let row = tile.first_key + j;
        let last = tile.first_key + params.keys - 1u;
        let k = Keys(
            k_shared(row, lane), k_shared(min(row + 1u, last), lane),
            k_shared(min(row + 2u, last), lane), k_shared(min(row + 3u, last), lane),
        );
        let v = Values(
            v_shared(row, lane), v_shared(min(row + 1u, last), lane),
            v_shared(min(row + 2u, last), lane), v_shared(min(row + 3u, last), lane),
        );
        softmax0 = visit(query0, &q0, &y0, softmax0, k, v, j);
        if (ROWS > 1u) { softmax1 = visit(query1, &q1, &y1, softmax1, k, v, j); }
        if (ROWS > 2u) {
            softmax2 = visit(query2, &q2, &y2, softmax2, k, v, j);
            softmax3 = visit(query3, &q3, &y3, softmax3, k, v, j);
        }
    }
    put_row(query0, &y0, softmax0.sum);
    if (ROWS > 1u) { put_row(query1, &y1, softmax1.sum); }
    if (ROWS > 2u) {
        put_row(query2, &y2, softmax2.sum);
        put_row(query3, &y3, softmax3.sum);
    }
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
