// Kernel conv
struct Params {
    m: u32,
    n: u32,
    k: u32,
    k_chunk: u32,
    matrices: u32,
    tiles: u32,
    row_tiles: u32,
    column_tiles: u32,
    input_d: u32,
    input_h: u32,
    input_w: u32,
    kernel_d: u32,
    kernel_h: u32,
    kernel_w: u32,
    output_d: u32,
    output_h: u32,
    output_w: u32,
    padding_d: u32,
    padding_h: u32,
    padding_w: u32,
    dilation_d: u32,
    dilation_h: u32,
    dilation_w: u32,
    batch: u32,
    groups: u32,
    input_channels: u32,
    output_channels: u32,
    total: u32,
    x_offset: u32,
    x_n: u32,
    x_c: u32,
    x_d: u32,
    x_h: u32,
    x_w: u32,
    w_offset: u32,
    w_n: u32,
    w_c: u32,
    w_d: u32,
    w_h: u32,
    w_w: u32,
    channel_quads: u32,
    p41: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;
const ROW_SIDE: u32 = 4u;
const COLUMN_SIDE: u32 = 8u;
const COLUMN_QUADS: u32 = 1u;
const DEPTH: u32 = 16u;
const WRITTEN_OUT: u32 = 1u;
const STRIDE_D: u32 = 1u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const FLAT: u32 = 1u;
const A_ALONG_K: u32 = 1u;
const B_ALONG_K: u32 = 0u;
const WHOLE_QUADS: u32 = 1u;

// n / d rounded down, for n and d below 2^31 and d > 0. By floats: software adapters divide integers lane by lane, and GPUs divide them
// by such steps as well. The reciprocal is a little too small, so that no estimate is too large; after the second one at most one d is
// left over.
fn quotient(n: u32, d: u32) -> u32 {
    let part = 0.99999 / f32(i32(d));
    let first = u32(i32(f32(i32(n)) * part));
    let rest = n - first * d;
    let second = u32(i32(f32(i32(rest)) * part));
    return first + second + select(0u, 1u, rest - second * d >= d);
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
fn store(i: u32, value: vec4<f32>) {
    b2[i] = value;
}
// Needs of the generator: store
// Gives: finish
fn finish(p: u32, sum: vec4<f32>) { store(p, sum); }
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
// The columns of B in a tile of the kernel of matrix products, where a column is a position of an image or a tap of a channel: what belongs
// to a column is worked out once and serves all steps.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient or conv/tiled_weight_gradient: a_start, b_start, column_of, row_step
// Needs of the generator: COLUMN_QUADS, COLUMN_SIDE, FLAT, ROW_SIDE, params.m, params.n
// Gives: COLUMNS, Column, PlaceA, PlaceB, a_place, b_place, columns, is_in, reach
struct Column {
    // Where its elements begin.
    start: u32,
    // What a step is counted from.
    corner: vec3<u32>,
}

const COLUMNS: u32 = 4u * COLUMN_SIDE * COLUMN_QUADS;

var<workgroup> columns: array<Column, COLUMNS>;

// Where the group begins in B's images, and the first of four columns in the tile.
alias PlaceB = vec2<u32>;

fn b_place(g: u32, first_column: u32, quad: u32, local: u32) -> PlaceB {
    for (var i = local; i < COLUMNS; i += ROW_SIDE * COLUMN_SIDE) {
        columns[i] = column_of(min(first_column + i, params.n - 1u));
    }
    workgroupBarrier();
    return vec2<u32>(b_start(g), quad * 4u);
}

// Whether a position is in an image. Without depth (FLAT) there is nothing to compare along it.
fn is_in(q: vec3<u32>, size: vec3<u32>) -> bool {
    return all(q.yz < size.yz) & ((FLAT == 1u) | (q.x < size.x));
}

// How far a position lies from the first one, by the step of each dim.
fn reach(q: vec3<u32>, steps: vec3<u32>) -> u32 {
    return q.y * steps.y + q.z * steps.z + select(q.x * steps.x, 0u, FLAT == 1u);
}

// The places of four rows of A.
alias PlaceA = vec4<u32>;

fn a_place(g: u32, row: u32) -> PlaceA {
    return a_start(g) + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u)) * row_step();
}
// Blocks of A and B where a step of k is a channel at a tap. The four steps of a block are neighbouring channels at one tap, so that what
// belongs to the tap is worked out once for all of them: in a kernel's order of steps, taps come before channels, of which there are
// params.channel_quads times four. Where these are more than there are (WHOLE_QUADS = 0), those past the last one are zero.
//
// Needs of conv/tiled_columns: PlaceA, PlaceB, columns, reach
// Needs of conv/tiled_forward or conv/tiled_input_gradient: a_channel, b_channel, channels, source, tap_of
// Needs of conv/window: dilation, kernel_size, position
// Needs of the generator: WHOLE_QUADS, params.channel_quads, params.k, params.w_d, params.w_h, params.w_w, w
// Gives: Step, Tap, a_block, b_block, step_of
struct Step {
    tap: vec3<u32>,
    channel: u32,
}

// The four steps from k on; past the end of k the last ones, which are not multiplied.
fn step_of(k: u32) -> Step {
    let block = min(k, params.k - 4u) / 4u;
    let tap = quotient(block, params.channel_quads);
    return Step(position(tap, kernel_size()), 4u * (block - tap * params.channel_quads));
}

// The channel of a step, or the last one.
fn inside(channel: u32) -> u32 { return select(min(channel, channels() - 1u), channel, WHOLE_QUADS == 1u); }

// Four rows of A at a channel.
fn a_rows(place: vec4<u32>, channel: u32) -> vec4<f32> {
    let at = place + inside(channel) * a_channel();
    let values = vec4<f32>(f32(w[at.x]), f32(w[at.y]), f32(w[at.z]), f32(w[at.w]));
    return select(vec4<f32>(), values, WHOLE_QUADS == 1u || channel < channels());
}

fn a_block(place: PlaceA, k: u32) -> mat4x4<f32> {
    let step = step_of(k);
    let at = place + reach(step.tap, vec3<u32>(params.w_d, params.w_h, params.w_w));
    let c = step.channel;
    return mat4x4<f32>(a_rows(at, c), a_rows(at, c + 1u), a_rows(at, c + 2u), a_rows(at, c + 3u));
}

// Four columns of B at a channel, zero where their tap is outside of the image.
fn b_columns(at: vec4<u32>, there: vec4<bool>, channel: u32) -> vec4<f32> {
    let places = at + inside(channel) * b_channel();
    let values = vec4<f32>(source(places.x), source(places.y), source(places.z), source(places.w));
    return select(vec4<f32>(), values, there & vec4<bool>(WHOLE_QUADS == 1u || channel < channels()));
}

fn b_block(place: PlaceB, k: u32) -> mat4x4<f32> {
    let step = step_of(k);
    let back = step.tap * dilation();
    let tap0 = tap_of(columns[place.y], back);
    let tap1 = tap_of(columns[place.y + 1u], back);
    let tap2 = tap_of(columns[place.y + 2u], back);
    let tap3 = tap_of(columns[place.y + 3u], back);
    let there = vec4<bool>(tap0.there, tap1.there, tap2.there, tap3.there);
    // Outside, any element will do.
    let at = place.x + select(vec4<u32>(), vec4<u32>(tap0.at, tap1.at, tap2.at, tap3.at), there);
    let c = step.channel;
    return mat4x4<f32>(
        b_columns(at, there, c), b_columns(at, there, c + 1u), b_columns(at, there, c + 2u), b_columns(at, there, c + 3u),
    );
}

// Where a tap of a column lies, and whether it is in the image.
struct Tap {
    at: u32,
    there: bool,
}
// The convolution of forward.wgsl for each group as C[o, (n, p)] = sum over (k, c) of A[o, (k, c)] B[(k, c), (n, p)], where
// A[o, (k, c)] = w[o, c, k] and B[(k, c), (n, p)] = x[n, c, p * stride + k * dilation - padding].
//
// Needs of conv/column or conv/tiled_columns: Column
// Needs of conv/tiled_channels: Tap
// Needs of conv/tiled_columns: is_in, reach
// Needs of conv/window: STRIDE, input_size, output_size, padding, position, volume
// Needs of the generator: params.input_channels, params.output_channels, params.w_c, params.w_n, params.w_offset, params.x_c, params.x_d,
//     params.x_h, params.x_n, params.x_offset, params.x_w, x
// Gives: a_channel, a_start, b_channel, b_start, channels, column_of, result_size, row_step, source, tap_of
fn a_start(g: u32) -> u32 { return params.w_offset + g * params.output_channels * params.w_n; }
fn b_start(g: u32) -> u32 { return params.x_offset + g * params.input_channels * params.x_c; }
fn row_step() -> u32 { return params.w_n; }
fn channels() -> u32 { return params.input_channels; }
fn a_channel() -> u32 { return params.w_c; }
fn b_channel() -> u32 { return params.x_c; }
fn source(at: u32) -> f32 { return f32(x[at]); }

fn x_steps() -> vec3<u32> { return vec3<u32>(params.x_d, params.x_h, params.x_w); }

fn column_of(column: u32) -> Column {
    let n = quotient(column, volume(output_size()));
    let p = position(column - n * volume(output_size()), output_size());
    let corner = p * STRIDE - padding();
    return Column(n * params.x_n + reach(corner, x_steps()), corner);
}

// Positions before the first one wrap to huge ones, which are outside as well.
fn tap_of(column: Column, back: vec3<u32>) -> Tap {
    return Tap(column.start + reach(back, x_steps()), is_in(column.corner + back, input_size()));
}

fn result_size() -> vec3<u32> { return output_size(); }
// Where a column of C lies, which is a position of an image; `matrix` counts the groups of each part of the sum.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient: result_size
// Needs of conv/window: volume
// Needs of the generator: params.groups, params.m, params.total
// Gives: image_place
fn image_place(matrix: u32, column: u32) -> u32 {
    let positions = volume(result_size());
    let slot = matrix / params.groups;
    let n = quotient(column, positions);
    let channel = (n * params.groups + matrix - slot * params.groups) * params.m;
    return slot * params.total + channel * positions + column - n * positions;
}
// Four neighbouring columns of C, where the positions of an image are a multiple of four.
//
// Needs of conv/tiled_forward or conv/tiled_input_gradient: result_size
// Needs of conv/tiled_positions: image_place
// Needs of conv/window: volume
// Needs of pool/finish_index or pool/finish_place or pool/finish_value or scan/finish_output or scan/finish_output_affine or scan/finish_parts or scan/finish_parts_affine or scan/finish_prefix or scan/finish_prefix_affine or sort/finish_order or sort/finish_run or sums/finish_output or sums/finish_output_quads or sums/finish_part_output or sums/finish_part_sum or sums/finish_sum or sums/finish_sum_quads:
//     finish
// Gives: PlaceC, c_place, put
alias PlaceC = u32;

fn c_place(matrix: u32, column: u32) -> PlaceC {
    return image_place(matrix, column);
}

fn put(place: PlaceC, row: u32, values: vec4<f32>) {
    finish((place + row * volume(result_size())) / 4u, values);
}
// C = A B for GPUs, whatever the matrices are: files in front of this one say how four steps of four neighbours of A or B are read, and
// where four columns of C lie.
//
// A workgroup of ROW_SIDE by COLUMN_SIDE invocations computes a tile of C. It walks over k, DEPTH steps at a time: all invocations
// together copy the DEPTH columns of A and DEPTH rows of B that the tile needs into workgroup memory, then each multiplies its own
// eight rows with its COLUMN_QUADS * 4 columns in registers. So an element read from global memory serves a whole tile, and an
// element read from workgroup memory eight multiplications.
//
// Both operands are kept as vec4s along their free dim (row of A, column of B): tile[step][quad]. One vec4 of padding a step keeps the
// copying invocations on different memory banks. An invocation copies at most one block of each operand: four steps of four
// neighbours.
// A_ALONG_K and B_ALONG_K say which way an operand lies contiguous in memory, so that neighbouring invocations copy neighbouring
// elements. An invocation's quads lie a side apart, so that neighbours read neighbouring vec4s.
//
// Needs of matmul/cooperative: DEPTH
// Needs of matmul/partial_one or matmul/store_one or matmul/tile_c_each or matmul/tile_c_quads: put
// Needs of matmul/tile_a_along_k or matmul/tile_a_along_rows or matmul/tile_a_elements: PlaceA, a_block, a_place
// Needs of matmul/tile_b_along_columns or matmul/tile_b_along_k or matmul/tile_b_elements: PlaceB, b_block, b_place
// Needs of matmul/tile_c_each or matmul/tile_c_quads: PlaceC, c_place
// Needs of the generator: A_ALONG_K, B_ALONG_K, COLUMN_QUADS, COLUMN_SIDE, ROW_SIDE, WRITTEN_OUT, params.column_tiles, params.k,
//     params.k_chunk, params.m, params.matrices, params.n, params.row_tiles, params.tiles
// Gives: A_STEP, B_STEP, Sums, multiply_sixteen, put_row, put_sums

const A_QUADS: u32 = ROW_SIDE * 2u;
const B_QUADS: u32 = COLUMN_SIDE * COLUMN_QUADS;
const A_STEP: u32 = A_QUADS + 1u;
const B_STEP: u32 = B_QUADS + 1u;
const THREADS: u32 = ROW_SIDE * COLUMN_SIDE;
// Blocks that a tile's steps make.
const PARTS: u32 = DEPTH / 4u;

var<workgroup> a_tile: array<vec4<f32>, DEPTH * A_STEP>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * B_STEP>;

// The sums of eight rows and four columns. Each has a variable of its own, which a compiler keeps in registers without having to find out
// what an index may be.
struct Sums {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
    row4: vec4<f32>,
    row5: vec4<f32>,
    row6: vec4<f32>,
    row7: vec4<f32>,
}

fn add_products(sums: ptr<function, Sums>, upper: vec4<f32>, lower: vec4<f32>, b: vec4<f32>) {
    (*sums).row0 += upper.x * b;
    (*sums).row1 += upper.y * b;
    (*sums).row2 += upper.z * b;
    (*sums).row3 += upper.w * b;
    (*sums).row4 += lower.x * b;
    (*sums).row5 += lower.y * b;
    (*sums).row6 += lower.z * b;
    (*sums).row7 += lower.w * b;
}

// One step: a column of A times a row of B. The invocation's first quads of both lie at a place each in the tiles.
fn multiply_step(left: ptr<function, Sums>, right: ptr<function, Sums>, a: u32, b: u32) {
    let upper = a_tile[a];
    let lower = a_tile[a + ROW_SIDE];
    add_products(left, upper, lower, b_tile[b]);
    if (COLUMN_QUADS > 1u) {
        add_products(right, upper, lower, b_tile[b + COLUMN_SIDE]);
    }
}

// So many steps. Their number is not known to a compiler, which so keeps the loop: Intel's has 128 registers for eight lanes, and where it
// can write the steps out it loads ahead for many of them, and spills.
fn multiply_steps(left: ptr<function, Sums>, right: ptr<function, Sums>, steps: u32, a: u32, b: u32) {
    var at = vec2<u32>(a, b);
    for (var step = 0u; step < steps; step++) {
        multiply_step(left, right, at.x, at.y);
        at += vec2<u32>(A_STEP, B_STEP);
    }
}

// All steps of a tile, written out, so that their places are constants.
fn multiply_sixteen(left: ptr<function, Sums>, right: ptr<function, Sums>, a: u32, b: u32) {
    multiply_step(left, right, a + 0u * A_STEP, b + 0u * B_STEP);
    multiply_step(left, right, a + 1u * A_STEP, b + 1u * B_STEP);
    multiply_step(left, right, a + 2u * A_STEP, b + 2u * B_STEP);
    multiply_step(left, right, a + 3u * A_STEP, b + 3u * B_STEP);
    multiply_step(left, right, a + 4u * A_STEP, b + 4u * B_STEP);
    multiply_step(left, right, a + 5u * A_STEP, b + 5u * B_STEP);
    multiply_step(left, right, a + 6u * A_STEP, b + 6u * B_STEP);
    multiply_step(left, right, a + 7u * A_STEP, b + 7u * B_STEP);
    multiply_step(left, right, a + 8u * A_STEP, b + 8u * B_STEP);
    multiply_step(left, right, a + 9u * A_STEP, b + 9u * B_STEP);
    multiply_step(left, right, a + 10u * A_STEP, b + 10u * B_STEP);
    multiply_step(left, right, a + 11u * A_STEP, b + 11u * B_STEP);
    multiply_step(left, right, a + 12u * A_STEP, b + 12u * B_STEP);
    multiply_step(left, right, a + 13u * A_STEP, b + 13u * B_STEP);
    multiply_step(left, right, a + 14u * A_STEP, b + 14u * B_STEP);
    multiply_step(left, right, a + 15u * A_STEP, b + 15u * B_STEP);
}

// Copies the invocation's blocks for the steps from k on.
fn copy_tiles(a: PlaceA, a_quad: u32, a_part: u32, b: PlaceB, b_quad: u32, b_part: u32, k: u32, local: u32) {
    if (A_QUADS * PARTS == THREADS || local < A_QUADS * PARTS) {
        let block = a_block(a, k + a_part);
        let at = a_part * A_STEP + a_quad;
        a_tile[at] = block[0];
        a_tile[at + A_STEP] = block[1];
        a_tile[at + 2u * A_STEP] = block[2];
        a_tile[at + 3u * A_STEP] = block[3];
    }
    if (B_QUADS * PARTS == THREADS || local < B_QUADS * PARTS) {
        let block = b_block(b, k + b_part);
        let at = b_part * B_STEP + b_quad;
        b_tile[at] = block[0];
        b_tile[at + B_STEP] = block[1];
        b_tile[at + 2u * B_STEP] = block[2];
        b_tile[at + 3u * B_STEP] = block[3];
    }
}

fn put_row(place: PlaceC, row: u32, sum: vec4<f32>) {
    if (row < params.m) { put(place, row, sum); }
}

// Stores eight rows of four columns, the upper four from a row on, the lower four from another one on.
fn put_sums(matrix: u32, upper: u32, lower: u32, column: u32, sums: Sums) {
    if (column >= params.n) { return; }
    let place = c_place(matrix, column);
    put_row(place, upper, sums.row0);
    put_row(place, upper + 1u, sums.row1);
    put_row(place, upper + 2u, sums.row2);
    put_row(place, upper + 3u, sums.row3);
    put_row(place, lower, sums.row4);
    put_row(place, lower + 1u, sums.row5);
    put_row(place, lower + 2u, sums.row6);
    put_row(place, lower + 3u, sums.row7);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup_index(group, groups);
    if (tile >= params.tiles) {
        return;
    }
    let column_tile = tile % params.column_tiles;
    let row_tile = tile / params.column_tiles % params.row_tiles;
    let matrix = tile / params.column_tiles / params.row_tiles;
    let batch = matrix % params.matrices;
    let k_start = matrix / params.matrices * params.k_chunk;
    let k_end = min(k_start + params.k_chunk, params.k);
    let first_row = row_tile * A_QUADS;
    let first_column = column_tile * B_QUADS;
    let y = local / COLUMN_SIDE;
    let x = local % COLUMN_SIDE;

    // The blocks that the invocation copies: a quad, and which four steps.
    let a_quad = select(local % A_QUADS, local / PARTS, A_ALONG_K == 1u);
    let a_part = 4u * select(local / A_QUADS, local % PARTS, A_ALONG_K == 1u);
    let a_from = a_place(batch, (first_row + a_quad) * 4u);
    let b_quad = select(local % B_QUADS, local / PARTS, B_ALONG_K == 1u);
    let b_part = 4u * select(local / B_QUADS, local % PARTS, B_ALONG_K == 1u);
    let b_from = b_place(batch, first_column * 4u, b_quad, local);

    var left = Sums();
    var right = Sums();
    var k0 = k_start;
    if (WRITTEN_OUT == 1u) {
        for (; k0 + DEPTH <= k_end; k0 += DEPTH) {
            copy_tiles(a_from, a_quad, a_part, b_from, b_quad, b_part, k0, local);
            workgroupBarrier();
            multiply_sixteen(&left, &right, y, x);
            workgroupBarrier();
        }
    }
    // Whatever is left: a tile with fewer steps, or all.
    for (; k0 < k_end; k0 += DEPTH) {
        copy_tiles(a_from, a_quad, a_part, b_from, b_quad, b_part, k0, local);
        workgroupBarrier();
        multiply_steps(&left, &right, min(DEPTH, k_end - k0), y, x);
        workgroupBarrier();
    }

    let upper = (first_row + y) * 4u;
    let lower = upper + ROW_SIDE * 4u;
    let column = (first_column + x) * 4u;
    put_sums(matrix, upper, lower, column, left);
    if (COLUMN_QUADS > 1u) {
        put_sums(matrix, upper, lower, column + COLUMN_SIDE * 4u, right);
    }
}
