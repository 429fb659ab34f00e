// dq_i = scale sum_j ds_ij k_j with ds_ij = p_ij (dy_i · v_j - delta_i), an invocation a query.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = workgroup_index(group, groups) * WORKGROUP + local;
    if (row >= params.rows) { return; }
    let first_key = key_head_of(head_of(row)) * params.keys;
    let seen = keys_seen(row % params.queries);
    let log_sum = load_stats(row * 2u);
    let delta = load_stats(row * 2u + 1u);

    var q: array<vec4<f32>, D_QUADS>;
    for (var c = 0u; c < D_QUADS; c += 1u) { q[c] = q_quad(row, c); }
    var dy: array<vec4<f32>, V_QUADS>;
    for (var c = 0u; c < V_QUADS; c += 1u) { dy[c] = dy_quad(row, c); }
    var dq: array<vec4<f32>, D_QUADS>;
    for (var j = 0u; j < seen; j += 1u) {
        var score = 0.0;
        for (var c = 0u; c < D_QUADS; c += 1u) { score += dot(q[c], k_quad(first_key + j, c)); }
        var dp = 0.0;
        for (var c = 0u; c < V_QUADS; c += 1u) { dp += dot(dy[c], v_quad(first_key + j, c)); }
        let p = safe_exp(masked(params.scale * score, row, j) - log_sum);
        let ds = p * (dp - delta);
        for (var c = 0u; c < D_QUADS; c += 1u) { dq[c] += ds * k_quad(first_key + j, c); }
    }
    let place = place_of(row, params.queries, params.heads);
    for (var d = 0u; d < params.d; d += 1u) {
        store(place * params.d + d, params.scale * dq[d / 4u][d % 4u]);
    }
}
