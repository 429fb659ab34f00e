// What the backward kernels need of each query, from which they recompute the weights (Dao et al. 2022, algorithm 4):
//   stats[i] = (l_i, delta_i),   l_i = ln sum_j e^(s_ij),   delta_i = dy_i · y_i = sum_j p_ij (dy_i · v_j)
// l is infinite for a query that sees no key, so that its weights become 0. The walk is that of the forward kernel.
//
// Needs of attention/tiles: COLUMNS, INVOCATIONS, Q, ROWS, exp4, is_hidden, k_rows, mask_of, products, put_weights, q_rows, rows_there,
//     scores, staged, weight_at, weights
// Needs of the generator: COLUMN_SIDE, params.all_tiles, params.causal, params.d_quads, params.dy_batch, params.dy_head, params.dy_row,
//     params.dy_start, params.group, params.heads, params.keys, params.queries, params.tiles, params.v_quads, params.y_batch,
//     params.y_head, params.y_row, params.y_start, quad_dy, quad_k, quad_q, quad_y, store
// Gives: put, quad, upstream
fn quad(operand: u32, at: u32) -> vec4<f32> {
    if (operand == Q) { return quad_q(at); }
    return quad_k(at);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups);
    if (tile >= params.all_tiles) { return; }
    let batch = tile / params.tiles / params.heads;
    let head = tile / params.tiles % params.heads;
    let key_head = head / params.group;
    let first_query = (params.tiles - 1u - tile % params.tiles) * ROWS;
    let keys_end = select(params.keys, min(params.keys, first_query + ROWS), params.causal == 1u);
    let queries = q_rows(batch, head, first_query);
    let mask = mask_of(batch, head);
    let x = local % COLUMN_SIDE;
    let y = local / COLUMN_SIDE;
    let query = first_query + y * 4u;
    let rows = rows_there(query, params.queries);

    var largest = vec4<f32>(-3.4028234e38);
    var sum = vec4<f32>();
    for (var first_key = 0u; first_key < keys_end; first_key += COLUMNS) {
        if (is_hidden(first_query, first_key, COLUMNS, mask, local)) { continue; }
        let product = products(queries, k_rows(batch, key_head, first_key), params.d_quads, local);
        put_weights(product, local);
        let keys = vec4<u32>(first_key + x * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        for (var r = 0u; r < rows; r += 1u) {
            let s = scores(weights[weight_at(r, local)], vec4<u32>(query + r), keys, mask);
            // Each invocation has a largest score of its own, until the end.
            let before = largest[r];
            let now = max(before, max(max(s.x, s.y), max(s.z, s.w)));
            let p = exp4(s - now);
            sum[r] = sum[r] * exp4(vec4<f32>(before - now)).x + (p.x + p.y) + (p.z + p.w);
            largest[r] = now;
        }
    }

    // The sums of a query's invocations, and their parts of delta.
    staged[local] = largest;
    staged[local + INVOCATIONS] = sum;
    var delta = vec4<f32>();
    for (var c = x; c < params.v_quads; c += COLUMN_SIDE) {
        delta += vec4<f32>(upstream(batch, head, query, c), upstream(batch, head, query + 1u, c),
            upstream(batch, head, query + 2u, c), upstream(batch, head, query + 3u, c));
    }
    weights[local] = delta;
    workgroupBarrier();
    delta = vec4<f32>();
    for (var i = 0u; i < COLUMN_SIDE; i += 1u) {
        largest = max(largest, staged[y * COLUMN_SIDE + i]);
        delta += weights[y * COLUMN_SIDE + i];
    }
    sum = vec4<f32>();
    // With few keys, some of the invocations have seen none.
    let seeing = min(COLUMN_SIDE, (params.keys + 3u) / 4u);
    for (var i = 0u; i < seeing; i += 1u) {
        let other = y * COLUMN_SIDE + i;
        sum = fma(staged[other + INVOCATIONS], exp4(staged[other] - largest), sum);
    }
    if (x != 0u) { return; }
    let row = (batch * params.heads + head) * params.queries + query;
    put(row, query, largest.x, sum.x, delta.x);
    put(row + 1u, query + 1u, largest.y, sum.y, delta.y);
    put(row + 2u, query + 2u, largest.z, sum.z, delta.z);
    put(row + 3u, query + 3u, largest.w, sum.w, delta.w);
}

// The part of dy · y at vec4 c.
fn upstream(batch: u32, head: u32, query: u32, c: u32) -> f32 {
    let row = min(query, params.queries - 1u);
    let dy = quad_dy(params.dy_start + batch * params.dy_batch + head * params.dy_head + row * params.dy_row + c);
    let y = quad_y(params.y_start + batch * params.y_batch + head * params.y_head + row * params.y_row + c);
    return dot(dy, y);
}

fn put(row: u32, query: u32, largest: f32, sum: f32, delta: f32) {
    if (query >= params.queries) { return; }
    store(row * 2u, select(largest + safe_log(sum), infinity(), sum == 0.0));
    store(row * 2u + 1u, delta);
}
