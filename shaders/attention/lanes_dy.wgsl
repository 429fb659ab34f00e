// Rows of the upstream gradient, owned by a lane or shared by the lanes.
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
    if (V_OCTETS > 2u) {
        x.o2 = dy_octet(row, 16u);
        x.o3 = dy_octet(row, 24u);
    }
    return x;
}
fn dy_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s = Shared(dy_quad(row, c), vec4<f32>(), vec4<f32>(), vec4<f32>());
    if (V_OCTETS > 1u) { s.o1 = dy_quad(row, c + 8u); }
    if (V_OCTETS > 2u) {
        s.o2 = dy_quad(row, c + 16u);
        s.o3 = dy_quad(row, c + 24u);
    }
    return s;
}
