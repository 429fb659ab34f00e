// The gradient of the largest elements of windows that do not overlap, from x and the gradient dy of those elements: each invocation owns
// the input from the start of one window to the start of the next, finds the largest element again, and stores dy there and 0 elsewhere.
// Behind the last window there is input that no window reads. Where WHOLE is 1, all these cells have the size of a stride.
//
// Needs of conv/window or window/taps: input_size, next, number, output_size, volume
// Needs of pool/adaptive or pool/sliding: reads
// Needs of pool/found: Found, NOWHERE
// Needs of pool/search: search
// Needs of pool/sliding: stride
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of the generator: WHOLE, WORKGROUP, load_dy, params.cells_d, params.cells_h, params.cells_w, params.end, params.total, store
fn cells() -> vec3<u32> { return vec3<u32>(params.cells_d, params.cells_h, params.cells_w); }

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.total) { return; }
    let n = quotient(i, volume(cells()));
    let cell = position(i - n * volume(cells()), cells());
    let plane = n * volume(input_size());

    var found = Found(NOWHERE, 0.0);
    var dy = 0.0;
    if (all(cell < output_size())) {
        found = search(plane, reads(cell), 0u, params.end, found);
        dy = load_dy(n * volume(output_size()) + number(cell, output_size()));
    }

    let corner = cell * vec3<u32>(stride());
    var size = min(vec3<u32>(stride()), input_size() - corner);
    if (WHOLE == 1u) { size = vec3<u32>(stride()); }
    var k = vec3<u32>(0u);
    for (var t = 0u; t < volume(size); t += 1u) {
        let at = number(corner + k, input_size());
        store(plane + at, select(0.0, dy, at == found.place));
        k = next(k, size);
    }
}
