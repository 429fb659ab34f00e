// Attention on software adapters with subgroups of at least eight lanes. A lane owns a few rows (queries, or keys), whose vectors and
// sums it holds. Rows of the other side come one after the other: of such a row each of eight lanes loads one vec4, and
// subgroupBroadcast hands it round, since loads cost most there and broadcasts almost nothing. So no row goes through memory once a
// query, no score is stored, and no lane needs another's sums.
// Parts of eight vec4s are written out, since a broadcast's lane must be known when the kernel is compiled. What is past the end of
// a row is zero.
//
// Needs of the generator: LANES, WORKGROUP
// Gives: Octet, Row, Shared, row_add, row_dot, row_scale, tile_index

// Eight vec4s of a row.
struct Octet {
    c0: vec4<f32>,
    c1: vec4<f32>,
    c2: vec4<f32>,
    c3: vec4<f32>,
    c4: vec4<f32>,
    c5: vec4<f32>,
    c6: vec4<f32>,
    c7: vec4<f32>,
}

// A row that a lane owns.
struct Row {
    o0: Octet,
    o1: Octet,
    o2: Octet,
    o3: Octet,
    o4: Octet,
    o5: Octet,
    o6: Octet,
    o7: Octet,
}

// A row that the lanes share: of each octet lane i holds the vec4 i modulo 8.
struct Shared {
    o0: vec4<f32>,
    o1: vec4<f32>,
    o2: vec4<f32>,
    o3: vec4<f32>,
    o4: vec4<f32>,
    o5: vec4<f32>,
    o6: vec4<f32>,
    o7: vec4<f32>,
}

fn octet_dot(x: Octet, s: vec4<f32>) -> vec4<f32> {
    var even = x.c0 * subgroupBroadcast(s, 0u);
    var odd = x.c1 * subgroupBroadcast(s, 1u);
    even += x.c2 * subgroupBroadcast(s, 2u);
    odd += x.c3 * subgroupBroadcast(s, 3u);
    even += x.c4 * subgroupBroadcast(s, 4u);
    odd += x.c5 * subgroupBroadcast(s, 5u);
    even += x.c6 * subgroupBroadcast(s, 6u);
    odd += x.c7 * subgroupBroadcast(s, 7u);
    return even + odd;
}

fn octet_add(x: Octet, weight: f32, s: vec4<f32>) -> Octet {
    return Octet(
        x.c0 + weight * subgroupBroadcast(s, 0u),
        x.c1 + weight * subgroupBroadcast(s, 1u),
        x.c2 + weight * subgroupBroadcast(s, 2u),
        x.c3 + weight * subgroupBroadcast(s, 3u),
        x.c4 + weight * subgroupBroadcast(s, 4u),
        x.c5 + weight * subgroupBroadcast(s, 5u),
        x.c6 + weight * subgroupBroadcast(s, 6u),
        x.c7 + weight * subgroupBroadcast(s, 7u),
    );
}

fn octet_scale(x: Octet, f: f32) -> Octet {
    return Octet(x.c0 * f, x.c1 * f, x.c2 * f, x.c3 * f, x.c4 * f, x.c5 * f, x.c6 * f, x.c7 * f);
}

// The product of a lane's own row and a shared one, both of `octets` parts.
fn row_dot(x: ptr<function, Row>, s: Shared, octets: u32) -> f32 {
    var sum = octet_dot((*x).o0, s.o0);
    if (octets > 1u) { sum += octet_dot((*x).o1, s.o1); }
    if (octets > 2u) { sum += octet_dot((*x).o2, s.o2); }
    if (octets > 3u) { sum += octet_dot((*x).o3, s.o3); }
    if (octets > 4u) { sum += octet_dot((*x).o4, s.o4); }
    if (octets > 5u) { sum += octet_dot((*x).o5, s.o5); }
    if (octets > 6u) { sum += octet_dot((*x).o6, s.o6); }
    if (octets > 7u) { sum += octet_dot((*x).o7, s.o7); }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

fn row_add(x: ptr<function, Row>, weight: f32, s: Shared, octets: u32) {
    (*x).o0 = octet_add((*x).o0, weight, s.o0);
    if (octets > 1u) { (*x).o1 = octet_add((*x).o1, weight, s.o1); }
    if (octets > 2u) { (*x).o2 = octet_add((*x).o2, weight, s.o2); }
    if (octets > 3u) { (*x).o3 = octet_add((*x).o3, weight, s.o3); }
    if (octets > 4u) { (*x).o4 = octet_add((*x).o4, weight, s.o4); }
    if (octets > 5u) { (*x).o5 = octet_add((*x).o5, weight, s.o5); }
    if (octets > 6u) { (*x).o6 = octet_add((*x).o6, weight, s.o6); }
    if (octets > 7u) { (*x).o7 = octet_add((*x).o7, weight, s.o7); }
}

fn row_scale(x: ptr<function, Row>, f: f32, octets: u32) {
    (*x).o0 = octet_scale((*x).o0, f);
    if (octets > 1u) { (*x).o1 = octet_scale((*x).o1, f); }
    if (octets > 2u) { (*x).o2 = octet_scale((*x).o2, f); }
    if (octets > 3u) { (*x).o3 = octet_scale((*x).o3, f); }
    if (octets > 4u) { (*x).o4 = octet_scale((*x).o4, f); }
    if (octets > 5u) { (*x).o5 = octet_scale((*x).o5, f); }
    if (octets > 6u) { (*x).o6 = octet_scale((*x).o6, f); }
    if (octets > 7u) { (*x).o7 = octet_scale((*x).o7, f); }
}

// A tile is what a subgroup works on: LANES * ROWS neighbouring rows of one head.
fn tile_index(group: vec3<u32>, groups: vec3<u32>, subgroup: u32) -> u32 {
    return workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
}
