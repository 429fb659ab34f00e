// Rows of k, owned by a lane or shared by the lanes.
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
    if (D_OCTETS > 2u) {
        x.o2 = k_octet(row, 16u);
        x.o3 = k_octet(row, 24u);
    }
    return x;
}
fn k_shared(row: u32, lane: u32) -> Shared {
    let c = lane % 8u;
    var s = Shared(k_quad(row, c), vec4<f32>(), vec4<f32>(), vec4<f32>());
    if (D_OCTETS > 1u) { s.o1 = k_quad(row, c + 8u); }
    if (D_OCTETS > 2u) {
        s.o2 = k_quad(row, c + 16u);
        s.o3 = k_quad(row, c + 24u);
    }
    return s;
}
