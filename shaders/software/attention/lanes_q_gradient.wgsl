// dq_i = scale sum_j ds_ij k_j with ds_ij = p_ij (dy_i · v_j - delta_i); a lane owns queries.
//
// Needs of attention/tiles: ROWS
// Needs of software/attention/lanes: Row, Shared, row_add, row_dot, tile_index
// Needs of software/attention/lanes_dy: dy_own
// Needs of software/attention/lanes_forward or software/attention/lanes_put: put_row
// Needs of software/attention/lanes_k: k_shared
// Needs of software/attention/lanes_kv_gradient or software/attention/lanes_queries: Query, query_of
// Needs of software/attention/lanes_q: q_own
// Needs of software/attention/lanes_queries: place_of, score_of, tile_of
// Needs of software/attention/lanes_v: v_shared
// Needs of the generator: D_OCTETS, V_OCTETS, WORKGROUP, load_stats, params.all_tiles, params.d_quads, params.scale
fn visit(query: Query, l: f32, delta: f32, q: ptr<function, Row>, dy: ptr<function, Row>, dq: ptr<function, Row>, k: Shared, v: Shared, j: u32) {
    let p = safe_exp(score_of(query, row_dot(q, k, D_OCTETS), j) - l);
    let ds = p * (row_dot(dy, v, V_OCTETS) - delta);
    row_add(dq, ds, k, D_OCTETS);
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
    let query0 = query_of(tile, lane, 0u);
    let query1 = query_of(tile, lane, 1u);
    var q0 = q_own(query0.row);
    var dy0 = dy_own(query0.row);
    var dq0 = Row();
    var q1 = Row();
    var dy1 = Row();
    var dq1 = Row();
    let l0 = load_stats(query0.row * 2u);
    let delta0 = load_stats(query0.row * 2u + 1u);
    var l1 = 0.0;
    var delta1 = 0.0;
    if (ROWS > 1u) {
        q1 = q_own(query1.row);
        dy1 = dy_own(query1.row);
        l1 = load_stats(query1.row * 2u);
        delta1 = load_stats(query1.row * 2u + 1u);
    }
    for (var j = 0u; j < tile.keys; j += 1u) {
        let k = k_shared(tile.first_key + j, lane);
        let v = v_shared(tile.first_key + j, lane);
        visit(query0, l0, delta0, &q0, &dy0, &dq0, k, v, j);
        if (ROWS > 1u) { visit(query1, l1, delta1, &q1, &dy1, &dq1, k, v, j); }
    }
    put_row(query0.is_inside, place_of(query0) * params.d_quads, &dq0, params.scale);
    if (ROWS > 1u) { put_row(query1.is_inside, place_of(query1) * params.d_quads, &dq1, params.scale); }
}
