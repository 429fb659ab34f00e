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
