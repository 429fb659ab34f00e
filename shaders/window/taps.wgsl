// Boxes of positions in planes of [D, H, W] (sizes of 1 stand for dims that are not there), walked in row-major order.
// A geometry (pool/sliding.wgsl, pool/adaptive.wgsl, interpolate/*.wgsl) says with them which input positions an output
// position reads, and which output positions read an input position.
//
// Needs of the generator: params.in_d, params.in_h, params.in_w, params.out_d, params.out_h, params.out_w
// Gives: Taps, input_size, next, number, output_size, position, volume
struct Taps {
    first: vec3<u32>,
    count: vec3<u32>,
    step: vec3<u32>,
}

fn input_size() -> vec3<u32> { return vec3<u32>(params.in_d, params.in_h, params.in_w); }
fn output_size() -> vec3<u32> { return vec3<u32>(params.out_d, params.out_h, params.out_w); }
fn volume(size: vec3<u32>) -> u32 { return size.x * size.y * size.z; }

// Position number i of a box, and back.
fn position(i: u32, size: vec3<u32>) -> vec3<u32> {
    let row = quotient(i, size.z);
    let plane = quotient(row, size.y);
    return vec3<u32>(plane, row - plane * size.y, i - row * size.z);
}
fn number(at: vec3<u32>, size: vec3<u32>) -> u32 {
    return (at.x * size.y + at.y) * size.z + at.z;
}

// The position after `at`: a carry instead of the divisions of `position`.
fn next(at: vec3<u32>, size: vec3<u32>) -> vec3<u32> {
    var to = at;
    to.z += 1u;
    if (to.z == size.z) {
        to.z = 0u;
        to.y += 1u;
        if (to.y == size.y) {
            to.y = 0u;
            to.x += 1u;
        }
    }
    return to;
}
