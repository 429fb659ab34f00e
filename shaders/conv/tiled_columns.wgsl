// How the tiled kernel of matrix products reads the operands of a convolution or of its gradients from where they lie. A step of k, or a
// column of B, is a channel or an image together with a tap or a position; what belongs to the one and what belongs to the other is
// worked out apart, and an element of B needs both.

// What a step of k adds to offsets in A and in B, and to a position in B's images.
struct Step {
    a: u32,
    b: u32,
    shift: vec3<u32>,
}

// Where a column's elements of B lie.
struct Column {
    start: u32,
    corner: vec3<u32>,
}

const COLUMNS: u32 = 4u * COLUMN_SIDE * COLUMN_QUADS;

var<workgroup> columns: array<Column, COLUMNS>;

// The columns of the tile serve all steps.
fn prepare(first_column: u32, local: u32) {
    for (var i = local; i < COLUMNS; i += ROW_SIDE * COLUMN_SIDE) {
        columns[i] = column_of(min(first_column + i, params.n - 1u));
    }
    workgroupBarrier();
}

fn a_quad(start: u32, row: u32, k: u32, k_end: u32) -> vec4<f32> {
    let at = start + step_of(min(k, params.k - 1u)).a
        + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u)) * row_step();
    let values = vec4<f32>(a_element(at.x), a_element(at.y), a_element(at.z), a_element(at.w));
    return select(vec4<f32>(), values, k < k_end);
}

fn b_quad(start: u32, first_column: u32, quad: u32, k: u32, k_end: u32) -> vec4<f32> {
    if (k >= k_end) { return vec4<f32>(); }
    let step = step_of(k);
    return vec4<f32>(
        b_element(start + step.b, columns[quad * 4u], step.shift),
        b_element(start + step.b, columns[quad * 4u + 1u], step.shift),
        b_element(start + step.b, columns[quad * 4u + 2u], step.shift),
        b_element(start + step.b, columns[quad * 4u + 3u], step.shift),
    );
}
