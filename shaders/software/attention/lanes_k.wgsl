// Rows of k, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: D_OCTETS, load_k, params.d_quads
// Gives: k_own, k_shared
fn k_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_k(row * params.d_quads + min(c, params.d_quads - 1u)), c < params.d_quads);
}
fn k_octet(row: u32, c: u32) -> Octet {
    return Octet(
        k_quad(row, c), k_quad(row, c + 1u), k_quad(row, c + 2u), k_quad(row, c + 3u),
        k_quad(row, c + 4u), k_quad(row, c + 5u), k_quad(row, c + 6u), k_quad(row, c + 7u),
    );
}
fn k_own(row: u32) -> Row {
    var x: Row;
    x.o0 = k_octet(row, 0u);
    if (D_OCTETS > 1u) { x.o1 = k_octet(row, 8u); }
    if (D_OCTETS > 2u) { x.o2 = k_octet(row, 16u); }
    if (D_OCTETS > 3u) { x.o3 = k_octet(row, 24u); }
    if (D_OCTETS > 4u) { x.o4 = k_octet(row, 32u); }
    if (D_OCTETS > 5u) { x.o5 = k_octet(row, 40u); }
    if (D_OCTETS > 6u) { x.o6 = k_octet(row, 48u); }
    if (D_OCTETS > 7u) { x.o7 = k_octet(row, 56u); }
    return x;
}
fn k_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s: Shared;
    s.o0 = k_quad(row, c);
    if (D_OCTETS > 1u) { s.o1 = k_quad(row, c + 8u); }
    if (D_OCTETS > 2u) { s.o2 = k_quad(row, c + 16u); }
    if (D_OCTETS > 3u) { s.o3 = k_quad(row, c + 24u); }
    if (D_OCTETS > 4u) { s.o4 = k_quad(row, c + 32u); }
    if (D_OCTETS > 5u) { s.o5 = k_quad(row, c + 40u); }
    if (D_OCTETS > 6u) { s.o6 = k_quad(row, c + 48u); }
    if (D_OCTETS > 7u) { s.o7 = k_quad(row, c + 56u); }
    return s;
}
