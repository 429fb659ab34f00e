// Windows of `kernel` taps, `dilation` apart, whose starts are `stride` apart, over an input with `padding` on both
// sides:
//   o reads o * stride - padding + k * dilation for k in 0..kernel, where that lies in the input.
// Averages have dilation 1 and divide by a fixed number (DIVISOR 0), by the part of the window in the padded input (1),
// or in the input (2).
// Where INSIDE is 1, every window lies in the input.
//
// Needs of conv/window or window/taps: input_size, output_size, volume
// Needs of the generator: DILATION_D, DILATION_H, DILATION_W, DIVISOR, INSIDE, KERNEL_D, KERNEL_H, KERNEL_W, PADDING_D, PADDING_H,
//     PADDING_W, STRIDE_D, STRIDE_H, STRIDE_W, params.divisor
// Needs of window/taps: Taps
// Gives: dilation, padding, readers, reads, stride, weight
fn kernel() -> vec3<i32> { return vec3<i32>(i32(KERNEL_D), i32(KERNEL_H), i32(KERNEL_W)); }
fn stride() -> vec3<i32> { return vec3<i32>(i32(STRIDE_D), i32(STRIDE_H), i32(STRIDE_W)); }
fn padding() -> vec3<i32> { return vec3<i32>(i32(PADDING_D), i32(PADDING_H), i32(PADDING_W)); }
fn dilation() -> vec3<i32> { return vec3<i32>(i32(DILATION_D), i32(DILATION_H), i32(DILATION_W)); }
fn window_start(o: vec3<u32>) -> vec3<i32> { return vec3<i32>(o) * stride() - padding(); }

// a / b rounded up, 0 for negative a.
fn ceil_div(a: vec3<i32>, b: vec3<i32>) -> vec3<i32> {
    return max(a + b - 1, vec3<i32>(0)) / b;
}

fn reads(o: vec3<u32>) -> Taps {
    let start = window_start(o);
    if (INSIDE == 1u) { return Taps(vec3<u32>(start), vec3<u32>(kernel()), vec3<u32>(dilation())); }
    let low = ceil_div(-start, dilation());
    let high = min(kernel(), ceil_div(vec3<i32>(input_size()) - start, dilation()));
    let count = max(high - low, vec3<i32>(0));
    return Taps(vec3<u32>(start + low * dilation()), vec3<u32>(count), vec3<u32>(dilation()));
}

// o * stride <= p + padding <= o * stride + (kernel - 1) * dilation. Where dilation leaves p out, that is up to the
// caller.
fn readers(p: vec3<u32>) -> Taps {
    let at = vec3<i32>(p) + padding();
    let low = ceil_div(at - (kernel() - 1) * dilation(), stride());
    let high = min(at / stride() + 1, vec3<i32>(output_size()));
    return Taps(vec3<u32>(low), vec3<u32>(max(high - low, vec3<i32>(0))), vec3<u32>(1u));
}

fn weight(o: vec3<u32>, p: vec3<u32>) -> f32 {
    if (DIVISOR == 0u) { return 1.0 / params.divisor; }
    if (DIVISOR == 1u) {
        let room = vec3<i32>(input_size()) + padding() - window_start(o);
        return 1.0 / f32(volume(vec3<u32>(min(kernel(), room))));
    }
    return 1.0 / f32(volume(reads(o).count));
}
