// What the attention kernels share. Queries are [batch, heads, queries, d], keys [batch, kv_heads, keys, d], values
// [batch, kv_heads, keys, v_size]; heads / kv_heads query heads share a key head. A row is one query (or key) of one head.
//   s_ij = scale q_i · k_j + mask_ij,   p_ij = e^(s_ij - l_i),   l_i = ln sum_j e^(s_ij),   y_i = sum_j p_ij v_j
// A vector of d elements is held as D_QUADS vec4s, one of v_size elements as V_QUADS; what is past the end is zero.

// Where a row of a head with `seq` rows is stored: heads lie side by side in one row of the sequence.
fn place_of(row: u32, seq: u32, heads: u32) -> u32 {
    let head = row / seq;
    return (head / heads * seq + row % seq) * heads + head % heads;
}

// The row of query 0 of the same batch and head, counted in rows of queries.
fn head_of(row: u32) -> u32 { return row / params.queries; }

// The head of keys that a head of queries looks at.
fn key_head_of(head: u32) -> u32 {
    let batch = head / params.heads;
    return batch * params.kv_heads + head % params.heads / params.group;
}

// Keys that query i may look at: all, or with causal attention those up to its own place.
fn keys_seen(i: u32) -> u32 { return select(params.keys, min(params.keys, i + 1u), params.causal == 1u); }

fn q_element(row: u32, d: u32) -> f32 {
    return select(0.0, load_q(row * params.d + min(d, params.d - 1u)), d < params.d);
}
fn q_quad(row: u32, c: u32) -> vec4<f32> {
    let d = c * 4u;
    return vec4<f32>(q_element(row, d), q_element(row, d + 1u), q_element(row, d + 2u), q_element(row, d + 3u));
}

fn k_element(row: u32, d: u32) -> f32 {
    return select(0.0, load_k(row * params.d + min(d, params.d - 1u)), d < params.d);
}
fn k_quad(row: u32, c: u32) -> vec4<f32> {
    let d = c * 4u;
    return vec4<f32>(k_element(row, d), k_element(row, d + 1u), k_element(row, d + 2u), k_element(row, d + 3u));
}
