// Rows of v, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: V_OCTETS, load_v, params.v_quads
// Gives: v_own, v_shared
fn v_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_v(row * params.v_quads + min(c, params.v_quads - 1u)), c < params.v_quads);
}
fn v_octet(row: u32, c: u32) -> Octet {
    return Octet(
        v_quad(row, c), v_quad(row, c + 1u), v_quad(row, c + 2u), v_quad(row, c + 3u),
        v_quad(row, c + 4u), v_quad(row, c + 5u), v_quad(row, c + 6u), v_quad(row, c + 7u),
    );
}
fn v_own(row: u32) -> Row {
    var x: Row;
    x.o0 = v_octet(row, 0u);
    if (V_OCTETS > 1u) { x.o1 = v_octet(row, 8u); }
    if (V_OCTETS > 2u) { x.o2 = v_octet(row, 16u); }
    if (V_OCTETS > 3u) { x.o3 = v_octet(row, 24u); }
    if (V_OCTETS > 4u) { x.o4 = v_octet(row, 32u); }
    if (V_OCTETS > 5u) { x.o5 = v_octet(row, 40u); }
    if (V_OCTETS > 6u) { x.o6 = v_octet(row, 48u); }
    if (V_OCTETS > 7u) { x.o7 = v_octet(row, 56u); }
    return x;
}
fn v_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s: Shared;
    s.o0 = v_quad(row, c);
    if (V_OCTETS > 1u) { s.o1 = v_quad(row, c + 8u); }
    if (V_OCTETS > 2u) { s.o2 = v_quad(row, c + 16u); }
    if (V_OCTETS > 3u) { s.o3 = v_quad(row, c + 24u); }
    if (V_OCTETS > 4u) { s.o4 = v_quad(row, c + 32u); }
    if (V_OCTETS > 5u) { s.o5 = v_quad(row, c + 40u); }
    if (V_OCTETS > 6u) { s.o6 = v_quad(row, c + 48u); }
    if (V_OCTETS > 7u) { s.o7 = v_quad(row, c + 56u); }
    return s;
}
