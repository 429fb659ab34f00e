// dq_i = scale sum_j ds_ij k_j with ds_ij = p_ij (dy_i · v_j - delta_i). A workgroup owns queries and walks over the keys.
//
// Needs of attention/sums: Place, Sums, from_column, put_sums, scale_rows
// Needs of attention/tiles: COLUMNS, INVOCATIONS, K, Q, ROWS, Rows, exp4, is_hidden, k_rows, mask_of, products, put_weights, q_rows,
//     rows_there, scores, weight_at, weights
// Needs of the generator: COLUMN_SIDE, D_BLOCKS, load_stats, params.all_tiles, params.causal, params.d_quads, params.dy_batch,
//     params.dy_head, params.dy_row, params.dy_start, params.group, params.heads, params.keys, params.parts, params.queries,
//     params.scale, params.tiles, params.v_batch, params.v_head, params.v_quads, params.v_row, params.v_start, quad_dy, quad_k, quad_q,
//     quad_v
// Gives: quad
const V: u32 = 2u;
const DY: u32 = 3u;

fn quad(operand: u32, at: u32) -> vec4<f32> {
    if (operand == Q) { return quad_q(at); }
    if (operand == K) { return quad_k(at); }
    if (operand == V) { return quad_v(at); }
    return quad_dy(at);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups);
    if (tile >= params.all_tiles) { return; }
    let column = tile % params.parts * COLUMN_SIDE * D_BLOCKS;
    let owned = tile / params.parts;
    let batch = owned / params.tiles / params.heads;
    let head = owned / params.tiles % params.heads;
    let key_head = head / params.group;
    let first_query = (params.tiles - 1u - owned % params.tiles) * ROWS;
    let keys_end = select(params.keys, min(params.keys, first_query + ROWS), params.causal == 1u);
    let queries = q_rows(batch, head, first_query);
    let upstream_start = params.dy_start + batch * params.dy_batch + head * params.dy_head;
    let values_start = params.v_start + batch * params.v_batch + key_head * params.v_head;
    let mask = mask_of(batch, head);
    let x = local % COLUMN_SIDE;
    let query = first_query + local / COLUMN_SIDE * 4u;
    let rows = rows_there(query, params.queries);
    let statistics = (batch * params.heads + head) * params.queries;

    var sums = Sums();
    for (var first_key = 0u; first_key < keys_end; first_key += COLUMNS) {
        if (is_hidden(first_query, first_key, COLUMNS, mask, local)) { continue; }
        let key_rows = k_rows(batch, key_head, first_key);
        let product = products(queries, key_rows, params.d_quads, local);
        put_weights(product, local);
        let keys = vec4<u32>(first_key + x * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        for (var r = 0u; r < rows; r += 1u) {
            let at = weight_at(r, local);
            weights[at] = exp4(scores(weights[at], vec4<u32>(query + r), keys, mask) - load_stats((statistics + query + r) * 2u));
        }
        let upstream = Rows(DY, upstream_start, params.dy_row, first_query, params.queries - 1u);
        let values = Rows(V, values_start, params.v_row, first_key, params.keys - 1u);
        let dp = products(upstream, values, params.v_quads, local);
        let odd = 2u * (statistics + min(vec4<u32>(query) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.queries - 1u))) + 1u;
        let delta = vec4<f32>(load_stats(odd.x), load_stats(odd.y), load_stats(odd.z), load_stats(odd.w));
        let at = weight_at(0u, local);
        weights[at] *= dp[0] - delta.x;
        weights[at + COLUMN_SIDE] *= dp[1] - delta.y;
        weights[at + 2u * COLUMN_SIDE] *= dp[2] - delta.z;
        weights[at + 3u * COLUMN_SIDE] *= dp[3] - delta.w;
        sums = mix(sums, D_BLOCKS, from_column(key_rows, column), params.d_quads - column, local);
    }
    let row = params.heads * params.d_quads;
    let start = batch * params.queries * row + head * params.d_quads + column;
    let place = Place(start, row, first_query, params.queries, params.d_quads - column);
    put_sums(scale_rows(sums, vec4<f32>(params.scale)), D_BLOCKS, place, local);
}
