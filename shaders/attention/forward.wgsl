// y_i = sum_j p_ij v_j. A workgroup owns queries and walks over the keys. Of each query it keeps the largest score m seen so far, the sum
// of e^(s - m) and that of e^(s - m) v, and rescales both when a larger score comes (online softmax: Milakov & Gimelshein 2018; Dao et
// al. 2022). A query that sees no key gives 0.
//
// Needs of attention/sums: Place, Sums, from_column, put_sums, scale_rows
// Needs of attention/tiles: COLUMNS, INVOCATIONS, K, Q, ROWS, Rows, exp4, is_hidden, k_rows, mask_of, products, put_weights, q_rows,
//     rows_there, scores, staged, weight_at, weights
// Needs of the generator: COLUMN_SIDE, V_BLOCKS, params.all_tiles, params.causal, params.d_quads, params.group, params.heads,
//     params.keys, params.parts, params.queries, params.tiles, params.v_batch, params.v_head, params.v_quads, params.v_row,
//     params.v_start, quad_k, quad_q, quad_v
// Gives: quad
const V: u32 = 2u;

fn quad(operand: u32, at: u32) -> vec4<f32> {
    if (operand == Q) { return quad_q(at); }
    if (operand == K) { return quad_k(at); }
    return quad_v(at);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups);
    if (tile >= params.all_tiles) { return; }
    let column = tile % params.parts * COLUMN_SIDE * V_BLOCKS;
    let owned = tile / params.parts;
    let batch = owned / params.tiles / params.heads;
    let head = owned / params.tiles % params.heads;
    let key_head = head / params.group;
    // The last queries have the most to see: they begin.
    let first_query = (params.tiles - 1u - owned % params.tiles) * ROWS;
    let keys_end = select(params.keys, min(params.keys, first_query + ROWS), params.causal == 1u);
    let queries = q_rows(batch, head, first_query);
    let values_start = params.v_start + batch * params.v_batch + key_head * params.v_head;
    let mask = mask_of(batch, head);
    let x = local % COLUMN_SIDE;
    let y = local / COLUMN_SIDE;
    let query = first_query + y * 4u;
    let rows = rows_there(query, params.queries);

    var sums = Sums();
    var largest = vec4<f32>(-3.4028234e38);
    // Of the keys that this invocation computes scores of; the largest score is that of all.
    var sum = vec4<f32>();
    for (var first_key = 0u; first_key < keys_end; first_key += COLUMNS) {
        if (is_hidden(first_query, first_key, COLUMNS, mask, local)) { continue; }
        let product = products(queries, k_rows(batch, key_head, first_key), params.d_quads, local);
        put_weights(product, local);
        let keys = vec4<u32>(first_key + x * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        for (var r = 0u; r < rows; r += 1u) {
            let at = weight_at(r, local);
            let s = scores(weights[at], vec4<u32>(query + r), keys, mask);
            weights[at] = s;
            staged[local][r] = max(max(s.x, s.y), max(s.z, s.w));
        }
        workgroupBarrier();
        let before = largest;
        for (var i = 0u; i < COLUMN_SIDE; i += 1u) { largest = max(largest, staged[y * COLUMN_SIDE + i]); }
        workgroupBarrier();
        let shrink = exp4(before - largest);
        sum *= shrink;
        for (var r = 0u; r < rows; r += 1u) {
            let at = weight_at(r, local);
            let p = exp4(weights[at] - largest[r]);
            weights[at] = p;
            sum[r] += (p.x + p.y) + (p.z + p.w);
        }
        sums = scale_rows(sums, shrink);
        let values = Rows(V, values_start, params.v_row, first_key, params.keys - 1u);
        sums = mix(sums, V_BLOCKS, from_column(values, column), params.v_quads - column, local);
    }

    staged[local] = sum;
    workgroupBarrier();
    var total = vec4<f32>();
    for (var i = 0u; i < COLUMN_SIDE; i += 1u) { total += staged[y * COLUMN_SIDE + i]; }
    let share = select(1.0 / total, vec4<f32>(), total == vec4<f32>());
    let row = params.heads * params.v_quads;
    let start = batch * params.queries * row + head * params.v_quads + column;
    let place = Place(start, row, first_query, params.queries, params.v_quads - column);
    put_sums(scale_rows(sums, share), V_BLOCKS, place, local);
}
