// What the convolution kernels share. Vectors hold depth, height and width; a convolution over fewer dims has sizes 1 in front.
//
// Needs of the generator: STRIDE_D, STRIDE_H, STRIDE_W, params.dilation_d, params.dilation_h, params.dilation_w, params.input_d,
//     params.input_h, params.input_w, params.kernel_d, params.kernel_h, params.kernel_w, params.output_d, params.output_h,
//     params.output_w, params.padding_d, params.padding_h, params.padding_w
// Gives: STRIDE, dilation, input_size, kernel_size, next, number, output_size, padding, position, volume
fn input_size() -> vec3<u32> { return vec3<u32>(params.input_d, params.input_h, params.input_w); }
fn kernel_size() -> vec3<u32> { return vec3<u32>(params.kernel_d, params.kernel_h, params.kernel_w); }
fn output_size() -> vec3<u32> { return vec3<u32>(params.output_d, params.output_h, params.output_w); }
fn padding() -> vec3<u32> { return vec3<u32>(params.padding_d, params.padding_h, params.padding_w); }
fn dilation() -> vec3<u32> { return vec3<u32>(params.dilation_d, params.dilation_h, params.dilation_w); }

const STRIDE = vec3<u32>(STRIDE_D, STRIDE_H, STRIDE_W);

fn volume(size: vec3<u32>) -> u32 { return size.x * size.y * size.z; }

// The index of a row-major position.
fn position(i: u32, size: vec3<u32>) -> vec3<u32> {
    let row = quotient(i, size.z);
    let plane = quotient(row, size.y);
    return vec3<u32>(plane, row - plane * size.y, i - row * size.z);
}

fn number(at: vec3<u32>, size: vec3<u32>) -> u32 { return (at.x * size.y + at.y) * size.z + at.z; }

// The position after p in row-major order; the first one after the last.
fn next(p: vec3<u32>, size: vec3<u32>) -> vec3<u32> {
    if (p.z + 1u < size.z) { return vec3<u32>(p.xy, p.z + 1u); }
    if (p.y + 1u < size.y) { return vec3<u32>(p.x, p.y + 1u, 0u); }
    if (p.x + 1u < size.x) { return vec3<u32>(p.x + 1u, 0u, 0u); }
    return vec3<u32>(0u);
}
