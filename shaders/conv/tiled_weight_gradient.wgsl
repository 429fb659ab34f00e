// The gradient of weight_gradient.wgsl for each group as C[o, (c, k)] = sum over (n, p) of A[o, (n, p)] B[(n, p), (c, k)], where
// A[o, (n, p)] = dy[n, o, p] and B[(n, p), (c, k)] = x[n, c, p * stride + k * dilation - padding].
//
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/tiled_columns: PlaceB, columns, is_in, reach
// Needs of conv/window: STRIDE, dilation, input_size, kernel_size, next, output_size, padding, position, volume
// Needs of the generator: params.input_channels, params.k, params.output_channels, params.x_c, params.x_d, params.x_h, params.x_n,
//     params.x_offset, params.x_w, params.y_c, params.y_offset, x
// Gives: Step, a_start, after, b_block, b_start, column_of, element, row_step, step_of
fn a_start(g: u32) -> u32 { return params.y_offset + g * params.output_channels * params.y_c; }
fn b_start(g: u32) -> u32 { return params.x_offset + g * params.input_channels * params.x_c; }
fn row_step() -> u32 { return params.y_c; }

fn x_steps() -> vec3<u32> { return vec3<u32>(params.x_d, params.x_h, params.x_w); }

fn column_of(column: u32) -> Column {
    let c = quotient(column, volume(kernel_size()));
    let tap = position(column - c * volume(kernel_size()), kernel_size());
    let corner = tap * dilation() - padding();
    return Column(c * params.x_c + reach(corner, x_steps()), corner);
}

// A step of k: a position of an image.
struct Step {
    n: u32,
    p: vec3<u32>,
}

// Steps past the end of k are the last one, and not multiplied.
fn step_of(k: u32) -> Step {
    let i = min(k, params.k - 1u);
    let n = quotient(i, volume(output_size()));
    return Step(n, position(i - n * volume(output_size()), output_size()));
}

// The step after step k.
fn after(step: Step, k: u32) -> Step {
    if (k + 1u >= params.k) { return step; }
    let p = next(step.p, output_size());
    return Step(step.n + select(0u, 1u, all(p == vec3<u32>())), p);
}

// Four columns of B at a step, zero where their tap is outside of the image.
fn b_columns(place: PlaceB, step: Step) -> vec4<f32> {
    let p = step.p * STRIDE;
    let at = place.x + step.n * params.x_n + reach(p, x_steps());
    return vec4<f32>(
        element(place.x, at, columns[place.y], p),
        element(place.x, at, columns[place.y + 1u], p),
        element(place.x, at, columns[place.y + 2u], p),
        element(place.x, at, columns[place.y + 3u], p),
    );
}

// Positions before the first one wrap to huge ones, which are outside as well. Outside, any element will do.
fn element(any: u32, at: u32, column: Column, p: vec3<u32>) -> f32 {
    let there = is_in(column.corner + p, input_size());
    return select(0.0, f32(x[select(any, at + column.start, there)]), there);
}

fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let step0 = step_of(k);
    let step1 = after(step0, k);
    let step2 = after(step1, k + 1u);
    let step3 = after(step2, k + 2u);
    return mat4x4<f32>(b_columns(place, step0), b_columns(place, step1), b_columns(place, step2), b_columns(place, step3));
}
