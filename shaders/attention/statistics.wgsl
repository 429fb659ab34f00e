// What the backward kernels need of each query, from which they recompute the weights (Dao et al. 2022, algorithm 4):
//   stats[i] = (l_i, delta_i),   l_i = ln sum_j e^(s_ij),   delta_i = dy_i · y_i = sum_j p_ij (dy_i · v_j)
// l is infinite for a query that sees no key, so that its weights become 0.
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
    var largest = -3.4028234e38;
    var sum = 0.0;
    for (var j = 0u; j < seen; j += 1u) {
        var score = 0.0;
        for (var c = 0u; c < D_QUADS; c += 1u) { score += dot(q[c], k_quad(first_key + j, c)); }
        score = masked(params.scale * score, row, j);
        if (is_nan(score) || score > largest) {
            sum *= safe_exp(largest - score);
            largest = score;
        }
        sum += safe_exp(score - largest);
    }
    var delta = 0.0;
    for (var d = 0u; d < params.v_size; d += 1u) {
        delta += load_dy(row * params.v_size + d) * load_y(row * params.v_size + d);
    }
    store(row * 2u, select(largest + safe_log(sum), infinity(), sum == 0.0));
    store(row * 2u + 1u, delta);
}
