// Kernel scaled_dot_product_attention
struct Params {
    rows: u32,
    heads: u32,
    kv_heads: u32,
    group: u32,
    queries: u32,
    keys: u32,
    d: u32,
    v_size: u32,
    causal: u32,
    scale: f32,
    p10: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<f32>;
@group(0) @binding(3) var<storage, read> b2: array<f32>;
@group(0) @binding(4) var<storage, read_write> b3: array<f32>;
const WORKGROUP: u32 = 64u;
const D_QUADS: u32 = 8u;
const V_QUADS: u32 = 8u;
const LOG2_E: f32 = 1.44269504088896;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// 2^k for -126 <= k <= 127.
fn power_of_two(k: i32) -> f32 {
    return bitcast<f32>(u32(k + 127) << 23u);
}

// e^x: 0 below -103.98, infinity above 88.7228, NaN for NaN. Without branches, which lanes side by side would all take.
fn safe_exp(x: f32) -> f32 {
    let inside = clamp(x, -103.98, 88.72284);
    let k = floor(inside * LOG2_E + 0.5);
    let r = (inside - k * 0.693359375) + k * 2.12194440e-4;
    let p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r
        + 1.6666665459e-1) * r + 5.0000001201e-1;
    // Two steps, since 2^k itself may overflow or be subnormal.
    let half = i32(k) / 2;
    let y = ((p * r * r + r) + 1.0) * power_of_two(half) * power_of_two(i32(k) - half);
    let bounded = select(select(y, 0.0, x < -103.98), infinity(), x > 88.72284);
    return select(bounded, x, is_nan(x));
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn load_k(i: u32) -> f32 {
    return b0[i];
}
fn load_q(i: u32) -> f32 {
    return b1[i];
}
fn load_v(i: u32) -> f32 {
    return b2[i];
}
fn store(i: u32, value: f32) {
    b3[i] = value;
}
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
fn masked(score: f32, row: u32, key: u32) -> f32 { return score; }
fn v_element(row: u32, d: u32) -> f32 {
    return select(0.0, load_v(row * params.v_size + min(d, params.v_size - 1u)), d < params.v_size);
}
fn v_quad(row: u32, c: u32) -> vec4<f32> {
    let d = c * 4u;
    return vec4<f32>(v_element(row, d), v_element(row, d + 1u), v_element(row, d + 2u), v_element(row, d + 3u));
}
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

// Kernel permute
struct Params {
    numel: u32,
    quads: u32,
    p2: u32,
    p3: u32,
    p4: u32,
    p5: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;

// n / d rounded down, for n and d below 2^31 and d > 0. By floats: software adapters divide integers lane by lane, and GPUs divide them
// by such steps as well. The reciprocal is a little too small, so that no estimate is too large; after the second one at most one d is
// left over.
fn quotient(n: u32, d: u32) -> u32 {
    let part = 0.99999 / f32(i32(d));
    let first = u32(i32(f32(i32(n)) * part));
    let rest = n - first * d;
    let second = u32(i32(f32(i32(rest)) * part));
    return first + second + select(0u, 1u, rest - second * d >= d);
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let thread = workgroup_index(group, groups) * 256u + lane;
    if (thread >= params.quads) { return; }
    let t0 = thread * 4u;
    let t1 = quotient(t0, params.p2);
    let t2 = quotient(t1, params.p3);
    let t3 = quad_b0(((t0 - t1 * params.p2) + (t1 - t2 * params.p3) * params.p4 + t2 * params.p5) / 4u);
    b1[thread] = t3;
}
