// What the backward kernels need of each query: stats[i] = (l_i, delta_i), see statistics.wgsl.
//
// Needs of attention/tiles: ROWS
// Needs of software/attention/lanes: Row, Shared, row_dot, tile_index
// Needs of software/attention/lanes_k: k_shared
// Needs of software/attention/lanes_kv_gradient or software/attention/lanes_queries: Query, query_of
// Needs of software/attention/lanes_q: q_own
// Needs of software/attention/lanes_queries: score_of, tile_of
// Needs of the generator: D_OCTETS, WORKGROUP, load_dy, load_y, params.all_tiles, params.keys, params.v_quads, store
// Gives: put

struct Sum { largest: f32, sum: f32 }
struct Keys { k0: Shared, k1: Shared, k2: Shared, k3: Shared }

fn visit(query: Query, q: ptr<function, Row>, before: Sum, k: Keys, j: u32) -> Sum {
    let s = vec4<f32>(
        score_of(query, row_dot(q, k.k0, D_OCTETS), j),
        score_of(query, row_dot(q, k.k1, D_OCTETS), j + 1u),
        score_of(query, row_dot(q, k.k2, D_OCTETS), j + 2u),
        score_of(query, row_dot(q, k.k3, D_OCTETS), j + 3u),
    );
    let largest = max(before.largest, max(max(s.x, s.y), max(s.z, s.w)));
    let more = (safe_exp(s.x - largest) + safe_exp(s.y - largest)) + (safe_exp(s.z - largest) + safe_exp(s.w - largest));
    return Sum(largest, before.sum * safe_exp(before.largest - largest) + more);
}

fn put(query: Query, sum: Sum) {
    if (!query.is_inside) { return; }
    var delta = vec4<f32>();
    for (var c = 0u; c < params.v_quads; c += 1u) {
        delta += load_dy(query.row * params.v_quads + c) * load_y(query.row * params.v_quads + c);
    }
    let l = select(sum.largest + safe_log(sum.sum), infinity(), sum.sum == 0.0);
    store(query.row * 2u, l);
    store(query.row * 2u + 1u, (delta.x + delta.y) + (delta.z + delta.w));
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
    let start = Sum(-3.4028234e38, 0.0);
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
    var sum0 = start;
    var sum1 = start;
    var sum2 = start;
    var sum3 = start;
    for (var j = 0u; j < tile.keys; j += 4u) {
        let row = tile.first_key + j;
        let last = tile.first_key + params.keys - 1u;
        let k = Keys(
            k_shared(row, lane), k_shared(min(row + 1u, last), lane),
            k_shared(min(row + 2u, last), lane), k_shared(min(row + 3u, last), lane),
        );
        sum0 = visit(query0, &q0, sum0, k, j);
        if (ROWS > 1u) { sum1 = visit(query1, &q1, sum1, k, j); }
        if (ROWS > 2u) {
            sum2 = visit(query2, &q2, sum2, k, j);
            sum3 = visit(query3, &q3, sum3, k, j);
        }
    }
    put(query0, sum0);
    if (ROWS > 1u) { put(query1, sum1); }
    if (ROWS > 2u) {
        put(query2, sum2);
        put(query3, sum3);
    }
}
