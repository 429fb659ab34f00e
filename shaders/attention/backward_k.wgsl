// dk_j = scale sum_i ds_ij q_i with ds_ij = p_ij (dy_i · v_j - delta_i), over the queries i of all heads that share the key head;
// an invocation a key.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_index(group, groups) * WORKGROUP + local;
    if (row >= params.rows) { return; }
    let j = row % params.keys;
    let key_head = row / params.keys;
    let first_head = key_head / params.kv_heads * params.heads + key_head % params.kv_heads * params.group;
    let first_query = select(0u, j, params.causal == 1u);

    var k: array<vec4<f32>, D_QUADS>;
    for (var c = 0u; c < D_QUADS; c += 1u) { k[c] = k_quad(row, c); }
    var v: array<vec4<f32>, V_QUADS>;
    for (var c = 0u; c < V_QUADS; c += 1u) { v[c] = v_quad(row, c); }
    var dk: array<vec4<f32>, D_QUADS>;
    for (var head = first_head; head < first_head + params.group; head += 1u) {
        for (var i = first_query; i < params.queries; i += 1u) {
            let query = head * params.queries + i;
            var score = 0.0;
            for (var c = 0u; c < D_QUADS; c += 1u) { score += dot(k[c], q_quad(query, c)); }
            var dp = 0.0;
            for (var c = 0u; c < V_QUADS; c += 1u) { dp += dot(v[c], dy_quad(query, c)); }
            let p = safe_exp(masked(params.scale * score, query, j) - load_stats(query * 2u));
            let ds = p * (dp - load_stats(query * 2u + 1u));
            for (var c = 0u; c < D_QUADS; c += 1u) { dk[c] += ds * q_quad(query, c); }
        }
    }
    let place = place_of(row, params.keys, params.kv_heads);
    for (var d = 0u; d < params.d; d += 1u) {
        store(place * params.d + d, params.scale * dk[d / 4u][d % 4u]);
    }
}
