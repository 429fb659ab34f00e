// Blocks of A, dy, by any strides.
//
// Needs of conv/tiled_channels or conv/tiled_weight_gradient: Step, step_of
// Needs of conv/tiled_columns: PlaceA
// Needs of conv/tiled_weight_gradient: after
// Needs of the generator: params.y_d, params.y_h, params.y_n, params.y_w, y
// Gives: a_block
fn a_rows(place: PlaceA, step: Step) -> vec4<f32> {
    let at = place + step.n * params.y_n + dot(step.p, vec3<u32>(params.y_d, params.y_h, params.y_w));
    return vec4<f32>(f32(y[at.x]), f32(y[at.y]), f32(y[at.z]), f32(y[at.w]));
}

fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let step0 = step_of(k);
    let step1 = after(step0, k);
    let step2 = after(step1, k + 1u);
    let step3 = after(step2, k + 2u);
    return mat4x4<f32>(a_rows(place, step0), a_rows(place, step1), a_rows(place, step2), a_rows(place, step3));
}
