// y_i = sum_j p_ij v_j, an invocation a query: one walk over the keys that keeps the largest score m seen so far, the sum of
// e^(s - m) and the sum of e^(s - m) v, and rescales both when a larger score comes (online softmax: Milakov & Gimelshein 2018;
// Dao et al. 2022). No score is ever stored. A query that sees no key gives 0.
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

    var q: array<vec4<f32>, D_QUADS>;
    for (var c = 0u; c < D_QUADS; c += 1u) { q[c] = q_quad(row, c); }
    var y: array<vec4<f32>, V_QUADS>;
    var largest = -3.4028234e38;
    var sum = 0.0;
    for (var j = 0u; j < seen; j += 1u) {
        var score = 0.0;
        for (var c = 0u; c < D_QUADS; c += 1u) { score += dot(q[c], k_quad(first_key + j, c)); }
        score = masked(params.scale * score, row, j);
        if (is_nan(score) || score > largest) {
            let shrink = safe_exp(largest - score);
            sum *= shrink;
            for (var c = 0u; c < V_QUADS; c += 1u) { y[c] *= shrink; }
            largest = score;
        }
        let weight = safe_exp(score - largest);
        sum += weight;
        for (var c = 0u; c < V_QUADS; c += 1u) { y[c] += weight * v_quad(first_key + j, c); }
    }
    let place = place_of(row, params.queries, params.heads);
    for (var d = 0u; d < params.v_size; d += 1u) {
        store(place * params.v_size + d, select(y[d / 4u][d % 4u] / sum, 0.0, sum == 0.0));
    }
}
