// Rows of the upstream gradient, owned by a lane or shared by the lanes.
//
// Needs of software/attention/lanes: Octet, Row, Shared
// Needs of the generator: V_OCTETS, load_dy, params.v_quads
// Gives: dy_own, dy_shared
fn dy_quad(row: u32, c: u32) -> vec4<f32> {
    return select(vec4<f32>(), load_dy(row * params.v_quads + min(c, params.v_quads - 1u)), c < params.v_quads);
}
fn dy_octet(row: u32, c: u32) -> Octet {
    return Octet(
        dy_quad(row, c), dy_quad(row, c + 1u), dy_quad(row, c + 2u), dy_quad(row, c + 3u),
        dy_quad(row, c + 4u), dy_quad(row, c + 5u), dy_quad(row, c + 6u), dy_quad(row, c + 7u),
    );
}
fn dy_own(row: u32) -> Row {
    var x: Row;
    x.o0 = dy_octet(row, 0u);
    if (V_OCTETS > 1u) { x.o1 = dy_octet(row, 8u); }
    if (V_OCTETS > 2u) { x.o2 = dy_octet(row, 16u); }
    if (V_OCTETS > 3u) { x.o3 = dy_octet(row, 24u); }
    if (V_OCTETS > 4u) { x.o4 = dy_octet(row, 32u); }
    if (V_OCTETS > 5u) { x.o5 = dy_octet(row, 40u); }
    if (V_OCTETS > 6u) { x.o6 = dy_octet(row, 48u); }
    if (V_OCTETS > 7u) { x.o7 = dy_octet(row, 56u); }
    return x;
}
fn dy_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s: Shared;
    s.o0 = dy_quad(row, c);
    if (V_OCTETS > 1u) { s.o1 = dy_quad(row, c + 8u); }
    if (V_OCTETS > 2u) { s.o2 = dy_quad(row, c + 16u); }
    if (V_OCTETS > 3u) { s.o3 = dy_quad(row, c + 24u); }
    if (V_OCTETS > 4u) { s.o4 = dy_quad(row, c + 32u); }
    if (V_OCTETS > 5u) { s.o5 = dy_quad(row, c + 40u); }
    if (V_OCTETS > 6u) { s.o6 = dy_quad(row, c + 48u); }
    if (V_OCTETS > 7u) { s.o7 = dy_quad(row, c + 56u); }
    return s;
}
