// dk_j = scale sum_i ds_ij q_i with ds_ij = p_ij (dy_i · v_j - delta_i), and dv_j = sum_i p_ij dy_i, over the queries i of all heads that
// share the key head. A workgroup owns keys and walks over the queries: its blocks are those of the transposed scores. The result has dk
// and dv side by side in a row; D_BLOCKS or V_BLOCKS is 0 where one of them is not wanted.
//
// Needs of attention/sums: Place, Sums, from_column, put_sums, scale_rows
// Needs of attention/tiles: COLUMNS, INVOCATIONS, K, Q, ROWS, Rows, exp4, is_hidden, k_rows, mask_of, products, put_weights, q_rows,
//     rows_there, scores, weight_at, weights
// Needs of the generator: COLUMN_SIDE, D_BLOCKS, V_BLOCKS, load_stats, params.all_tiles, params.causal, params.d_quads, params.dy_batch,
//     params.dy_head, params.dy_row, params.dy_start, params.group, params.heads, params.keys, params.kv_heads, params.parts,
//     params.queries, params.row_quads, params.scale, params.tiles, params.v_batch, params.v_head, params.v_quads, params.v_row,
//     params.v_start, quad_dy, quad_k, quad_q, quad_v
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
    let column = tile % params.parts * COLUMN_SIDE * max(D_BLOCKS, V_BLOCKS);
    let owned = tile / params.parts;
    let batch = owned / params.tiles / params.kv_heads;
    let key_head = owned / params.tiles % params.kv_heads;
    let first_key = owned % params.tiles * ROWS;
    let queries_start = select(0u, first_key / COLUMNS * COLUMNS, params.causal == 1u);
    let key_rows = k_rows(batch, key_head, first_key);
    let values_start = params.v_start + batch * params.v_batch + key_head * params.v_head;
    let x = local % COLUMN_SIDE;
    let key = first_key + local / COLUMN_SIDE * 4u;
    let rows = rows_there(key, params.keys);

    var dk = Sums();
    var dv = Sums();
    for (var shared_by = 0u; shared_by < params.group; shared_by += 1u) {
        let head = key_head * params.group + shared_by;
        let upstream_start = params.dy_start + batch * params.dy_batch + head * params.dy_head;
        let statistics = (batch * params.heads + head) * params.queries;
        let mask = mask_of(batch, head);
        for (var first_query = queries_start; first_query < params.queries; first_query += COLUMNS) {
            if (is_hidden(first_query, first_key, ROWS, mask, local)) { continue; }
            let query_rows = q_rows(batch, head, first_query);
            let upstream = Rows(DY, upstream_start, params.dy_row, first_query, params.queries - 1u);
            let product = products(key_rows, query_rows, params.d_quads, local);
            put_weights(product, local);
            let queries = vec4<u32>(first_query + x * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
            let at = 2u * (statistics + min(queries, vec4<u32>(params.queries - 1u)));
            let log_sum = vec4<f32>(load_stats(at.x), load_stats(at.y), load_stats(at.z), load_stats(at.w));
            for (var r = 0u; r < rows; r += 1u) {
                let own = weight_at(r, local);
                weights[own] = exp4(scores(weights[own], queries, vec4<u32>(key + r), mask) - log_sum);
            }
            if (V_BLOCKS > 0u) {
                dv = mix(dv, V_BLOCKS, from_column(upstream, column), params.v_quads - column, local);
            }
            if (D_BLOCKS > 0u) {
                let values = Rows(V, values_start, params.v_row, first_key, params.keys - 1u);
                let dp = products(values, upstream, params.v_quads, local);
                let delta =
                    vec4<f32>(load_stats(at.x + 1u), load_stats(at.y + 1u), load_stats(at.z + 1u), load_stats(at.w + 1u));
                let own = weight_at(0u, local);
                weights[own] *= dp[0] - delta;
                weights[own + COLUMN_SIDE] *= dp[1] - delta;
                weights[own + 2u * COLUMN_SIDE] *= dp[2] - delta;
                weights[own + 3u * COLUMN_SIDE] *= dp[3] - delta;
                dk = mix(dk, D_BLOCKS, from_column(query_rows, column), params.d_quads - column, local);
            }
        }
    }
    let row = params.kv_heads * params.row_quads;
    let start = batch * params.keys * row + key_head * params.row_quads + column;
    if (D_BLOCKS > 0u) {
        let place = Place(start, row, first_key, params.keys, params.d_quads - column);
        put_sums(scale_rows(dk, vec4<f32>(params.scale)), D_BLOCKS, place, local);
    }
    if (V_BLOCKS > 0u) {
        let first = select(0u, params.d_quads, D_BLOCKS > 0u);
        let place = Place(start + first, row, first_key, params.keys, params.v_quads - column);
        put_sums(dv, V_BLOCKS, place, local);
    }
}
