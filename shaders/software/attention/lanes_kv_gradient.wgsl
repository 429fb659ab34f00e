// dk_j = scale sum_i ds_ij q_i and dv_j = sum_i p_ij dy_i, stored one after the other, over the queries i of all heads that share the
// key head; a lane owns keys, and four queries come at a time.
//
// Needs of attention/tiles: ROWS
// Needs of software/attention/lanes: Octet, Row, Shared, row_add, row_dot, tile_index
// Needs of software/attention/lanes_dy: dy_shared
// Needs of software/attention/lanes_forward or software/attention/lanes_put: put_row
// Needs of software/attention/lanes_k: k_own
// Needs of software/attention/lanes_q: q_shared
// Needs of software/attention/lanes_v: v_own
// Needs of software/attention/mask_bool or software/attention/mask_float or software/attention/mask_none: masked
// Needs of the generator: D_OCTETS, LANES, V_OCTETS, WORKGROUP, load_stats, params.all_tiles, params.causal, params.d_quads,
//     params.group, params.heads, params.keys, params.kv_heads, params.queries, params.scale, params.tiles, params.v_quads, store
// Gives: Query, query_of

// One key of a lane. A key past the last one repeats it and is not stored.
struct Key {
    row: u32,
    j: u32,
    is_inside: bool,
}

fn key_of(key_head: u32, first: u32, lane: u32, r: u32) -> Key {
    let own = first + r * LANES + lane;
    let j = min(own, params.keys - 1u);
    return Key(key_head * params.keys + j, j, own < params.keys);
}

// A query: its place in its head, its row, and what the lanes share of it.
struct Query {
    i: u32,
    row: u32,
    l: f32,
    delta: f32,
    q: Shared,
    dy: Shared,
}

fn query_of(head: u32, i: u32, lane: u32, l: f32, delta: f32) -> Query {
    let row = head * params.queries + min(i, params.queries - 1u);
    return Query(i, row, l, delta, q_shared(row, lane), dy_shared(row, lane));
}

fn visit(key: Key, k: ptr<function, Row>, v: ptr<function, Row>, dk: ptr<function, Row>, dv: ptr<function, Row>, query: Query) {
    let score = masked(params.scale * row_dot(k, query.q, D_OCTETS), query.row, key.j);
    let is_seen = query.i < params.queries && (params.causal == 0u || key.j <= query.i);
    let p = safe_exp(select(-infinity(), score, is_seen) - query.l);
    let ds = p * (row_dot(v, query.dy, V_OCTETS) - query.delta);
    row_add(dk, ds, query.q, D_OCTETS);
    row_add(dv, p, query.dy, V_OCTETS);
}

fn put_v(is_inside: bool, first: u32, c: u32, x: vec4<f32>) {
    if (is_inside && c < params.v_quads) { store(first + params.d_quads + c, x); }
}
fn put_v_octet(is_inside: bool, first: u32, c: u32, x: Octet) {
    put_v(is_inside, first, c, x.c0);
    put_v(is_inside, first, c + 1u, x.c1);
    put_v(is_inside, first, c + 2u, x.c2);
    put_v(is_inside, first, c + 3u, x.c3);
    put_v(is_inside, first, c + 4u, x.c4);
    put_v(is_inside, first, c + 5u, x.c5);
    put_v(is_inside, first, c + 6u, x.c6);
    put_v(is_inside, first, c + 7u, x.c7);
}

// Stores both gradients of a key: heads lie side by side in one row of the sequence.
fn put_key(key: Key, key_head: u32, dk: ptr<function, Row>, dv: ptr<function, Row>) {
    let batch = key_head / params.kv_heads;
    let place = (batch * params.keys + key.j) * params.kv_heads + key_head % params.kv_heads;
    let first = place * (params.d_quads + params.v_quads);
    put_row(key.is_inside, first, dk, params.scale);
    put_v_octet(key.is_inside, first, 0u, (*dv).o0);
    if (V_OCTETS > 1u) { put_v_octet(key.is_inside, first, 8u, (*dv).o1); }
    if (V_OCTETS > 2u) { put_v_octet(key.is_inside, first, 16u, (*dv).o2); }
    if (V_OCTETS > 3u) { put_v_octet(key.is_inside, first, 24u, (*dv).o3); }
    if (V_OCTETS > 4u) { put_v_octet(key.is_inside, first, 32u, (*dv).o4); }
    if (V_OCTETS > 5u) { put_v_octet(key.is_inside, first, 40u, (*dv).o5); }
    if (V_OCTETS > 6u) { put_v_octet(key.is_inside, first, 48u, (*dv).o6); }
    if (V_OCTETS > 7u) { put_v_octet(key.is_inside, first, 56u, (*dv).o7); }
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
    let key_head = index / params.tiles;
    let first = index % params.tiles * (LANES * ROWS);
    let key0 = key_of(key_head, first, lane, 0u);
    let key1 = key_of(key_head, first, lane, 1u);
    var k0 = k_own(key0.row);
    var v0 = v_own(key0.row);
    var dk0 = Row();
    var dv0 = Row();
    var k1 = Row();
    var v1 = Row();
    var dk1 = Row();
    var dv1 = Row();
    if (ROWS > 1u) {
        k1 = k_own(key1.row);
        v1 = v_own(key1.row);
    }
    let first_head = key_head / params.kv_heads * params.heads + key_head % params.kv_heads * params.group;
    let first_query = select(0u, first, params.causal == 1u);
    for (var head = first_head; head < first_head + params.group; head += 1u) {
        for (var i = first_query; i < params.queries; i += 4u) {
            // Lane c modulo 4 has the statistics of query i + c.
            let stats = (head * params.queries + min(i + lane % 4u, params.queries - 1u)) * 2u;
            let l = load_stats(stats);
            let delta = load_stats(stats + 1u);
            let query0 = query_of(head, i, lane, subgroupBroadcast(l, 0u), subgroupBroadcast(delta, 0u));
            let query1 = query_of(head, i + 1u, lane, subgroupBroadcast(l, 1u), subgroupBroadcast(delta, 1u));
            let query2 = query_of(head, i + 2u, lane, subgroupBroadcast(l, 2u), subgroupBroadcast(delta, 2u));
            let query3 = query_of(head, i + 3u, lane, subgroupBroadcast(l, 3u), subgroupBroadcast(delta, 3u));
            visit(key0, &k0, &v0, &dk0, &dv0, query0);
            visit(key0, &k0, &v0, &dk0, &dv0, query1);
            visit(key0, &k0, &v0, &dk0, &dv0, query2);
            visit(key0, &k0, &v0, &dk0, &dv0, query3);
            if (ROWS > 1u) {
                visit(key1, &k1, &v1, &dk1, &dv1, query0);
                visit(key1, &k1, &v1, &dk1, &dv1, query1);
                visit(key1, &k1, &v1, &dk1, &dv1, query2);
                visit(key1, &k1, &v1, &dk1, &dv1, query3);
            }
        }
    }
    put_key(key0, key_head, &dk0, &dv0);
    if (ROWS > 1u) { put_key(key1, key_head, &dk1, &dv1); }
}
