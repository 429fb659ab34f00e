// Rows of q, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: D_OCTETS, load_q, params.d_quads
// Gives: q_own, q_shared
fn q_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_q(row * params.d_quads + min(c, params.d_quads - 1u)), c < params.d_quads);
}
fn q_octet(row: u32, c: u32) -> Octet {
    return Octet(
        q_quad(row, c), q_quad(row, c + 1u), q_quad(row, c + 2u), q_quad(row, c + 3u),
        q_quad(row, c + 4u), q_quad(row, c + 5u), q_quad(row, c + 6u), q_quad(row, c + 7u),
    );
}
fn q_own(row: u32) -> Row {
    var x: Row;
    x.o0 = q_octet(row, 0u);
    if (D_OCTETS > 1u) { x.o1 = q_octet(row, 8u); }
    if (D_OCTETS > 2u) { x.o2 = q_octet(row, 16u); }
    if (D_OCTETS > 3u) { x.o3 = q_octet(row, 24u); }
    if (D_OCTETS > 4u) { x.o4 = q_octet(row, 32u); }
    if (D_OCTETS > 5u) { x.o5 = q_octet(row, 40u); }
    if (D_OCTETS > 6u) { x.o6 = q_octet(row, 48u); }
    if (D_OCTETS > 7u) { x.o7 = q_octet(row, 56u); }
    return x;
}
fn q_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s: Shared;
    s.o0 = q_quad(row, c);
    if (D_OCTETS > 1u) { s.o1 = q_quad(row, c + 8u); }
    if (D_OCTETS > 2u) { s.o2 = q_quad(row, c + 16u); }
    if (D_OCTETS > 3u) { s.o3 = q_quad(row, c + 24u); }
    if (D_OCTETS > 4u) { s.o4 = q_quad(row, c + 32u); }
    if (D_OCTETS > 5u) { s.o5 = q_quad(row, c + 40u); }
    if (D_OCTETS > 6u) { s.o6 = q_quad(row, c + 48u); }
    if (D_OCTETS > 7u) { s.o7 = q_quad(row, c + 56u); }
    return s;
}
