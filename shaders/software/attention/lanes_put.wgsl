// Stores a row of d elements, times a factor, from the vec4 `first` on.
//
// Needs of software/attention/lanes: Octet, Row
// Needs of the generator: D_OCTETS, params.d_quads, store
// Gives: put, put_row
fn put(is_inside: bool, first: u32, c: u32, x: vec4<f32>) {
    if (is_inside && c < params.d_quads) { store(first + c, x); }
}
fn put_octet(is_inside: bool, first: u32, c: u32, x: Octet, f: f32) {
    put(is_inside, first, c, x.c0 * f);
    put(is_inside, first, c + 1u, x.c1 * f);
    put(is_inside, first, c + 2u, x.c2 * f);
    put(is_inside, first, c + 3u, x.c3 * f);
    put(is_inside, first, c + 4u, x.c4 * f);
    put(is_inside, first, c + 5u, x.c5 * f);
    put(is_inside, first, c + 6u, x.c6 * f);
    put(is_inside, first, c + 7u, x.c7 * f);
}
fn put_row(is_inside: bool, first: u32, x: ptr<function, Row>, f: f32) {
    put_octet(is_inside, first, 0u, (*x).o0, f);
    if (D_OCTETS > 1u) { put_octet(is_inside, first, 8u, (*x).o1, f); }
    if (D_OCTETS > 2u) { put_octet(is_inside, first, 16u, (*x).o2, f); }
    if (D_OCTETS > 3u) { put_octet(is_inside, first, 24u, (*x).o3, f); }
    if (D_OCTETS > 4u) { put_octet(is_inside, first, 32u, (*x).o4, f); }
    if (D_OCTETS > 5u) { put_octet(is_inside, first, 40u, (*x).o5, f); }
    if (D_OCTETS > 6u) { put_octet(is_inside, first, 48u, (*x).o6, f); }
    if (D_OCTETS > 7u) { put_octet(is_inside, first, 56u, (*x).o7, f); }
}
