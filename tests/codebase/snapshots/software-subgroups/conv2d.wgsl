// Kernel conv_pack
struct Params {
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
    rows: u32,
    row_tiles: u32,
    source_channels: u32,
    quads: u32,
    items: u32,
    p24: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;
const WORKGROUP: u32 = 64u;

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
fn quad_b0(i: u32) -> vec4<f32> {
    return vec4<f32>(b0[i]);
}
fn load_source(i: u32) -> vec4<f32> {
    let t0 = quad_b0(i);
    return t0;
}
fn store_lines(i: u32, value: vec4<f32>) {
    b1[i] = value;
}
// What the convolution kernels share. Vectors hold depth, height and width; a convolution over fewer dims has sizes 1 in front.
//
// Needs of the generator: STRIDE_D, STRIDE_H, STRIDE_W, params.dilation_d, params.dilation_h, params.dilation_w, params.input_d,
//     params.input_h, params.input_w, params.kernel_d, params.kernel_h, params.kernel_w, params.output_d, params.output_h,
//     params.output_w, params.padding_d, params.padding_h, params.padding_w
// Gives: STRIDE, dilation, input_size, kernel_size, next, number, output_size, padding, position, volume
fn input_size() -> vec3<u32> { return vec3<u32>(params.input_d, params.input_h, params.input_w); }

fn volume(size: vec3<u32>) -> u32 { return size.x * size.y * size.z; }

fn source_size() -> vec3<u32> { return input_size(); }
// Copies the source into lines of channels (see lines.wgsl) by blocks of four channels at four positions: four loads and four stores. For
// planes of a multiple of four positions.
//
// Needs of conv/window or window/taps: volume
// Needs of software/conv/tap_backward or software/conv/tap_forward: source_size
// Needs of the generator: WORKGROUP, load_source, params.items, params.quads, params.source_channels, store_lines
fn channel_quad(plane: u32, c: u32, at: u32) -> vec4<f32> {
    let is_inside = c < params.source_channels;
    let channel = plane * params.source_channels + select(0u, c, is_inside);
    let values = load_source(channel * (volume(source_size()) / 4u) + at);
    return select(vec4<f32>(), values, is_inside);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    // The line of zeros.
    if (i < params.quads) { store_lines(i, vec4<f32>()); }
    let n = quotient(i, params.quads);
    let quad = i - n * params.quads;
    let blocks = volume(source_size()) / 4u;
    let plane = quotient(n, blocks);
    let at = n - plane * blocks;
    let a = channel_quad(plane, quad * 4u, at);
    let b = channel_quad(plane, quad * 4u + 1u, at);
    let c = channel_quad(plane, quad * 4u + 2u, at);
    let d = channel_quad(plane, quad * 4u + 3u, at);
    let first = (n * 4u + 1u) * params.quads + quad;
    store_lines(first, vec4<f32>(a.x, b.x, c.x, d.x));
    store_lines(first + params.quads, vec4<f32>(a.y, b.y, c.y, d.y));
    store_lines(first + 2u * params.quads, vec4<f32>(a.z, b.z, c.z, d.z));
    store_lines(first + 3u * params.quads, vec4<f32>(a.w, b.w, c.w, d.w));
}

// Kernel conv_pack
struct Params {
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
    rows: u32,
    row_tiles: u32,
    source_channels: u32,
    quads: u32,
    w_offset: u32,
    w_n: u32,
    w_c: u32,
    w_d: u32,
    w_h: u32,
    w_w: u32,
    row_step: u32,
    channel_step: u32,
    group_step: u32,
    items: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> b1: array<vec4<f32>>;
const WORKGROUP: u32 = 64u;
const ROWS: u32 = 8u;
const LINES: u32 = 0u;

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
fn store_a(i: u32, value: vec4<f32>) {
    b1[i] = value;
}
fn kernel_size() -> vec3<u32> { return vec3<u32>(params.kernel_d, params.kernel_h, params.kernel_w); }

fn volume(size: vec3<u32>) -> u32 { return size.x * size.y * size.z; }

// The index of a row-major position.
fn position(i: u32, size: vec3<u32>) -> vec3<u32> {
    let row = quotient(i, size.z);
    let plane = quotient(row, size.y);
    return vec3<u32>(plane, row - plane * size.y, i - row * size.z);
}
// How the blocked convolution kernels see their source, the tensor that taps read: as lines, the params.quads * 4 elements that one tap
// of one position reads, padded with zeros. A line holds the channels of a position; with few channels (LINES = 1) those of all taps along
// the width, so that less of it is padding. Lines lie in order of image, group and position behind one line of zeros, which stands for
// all positions outside.
//
// Needs of conv/window: kernel_size
// Needs of conv/window or window/taps: number, volume
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size, source_size, tap_of
// Needs of the generator: LINES, params.groups, params.quads, params.source_channels
// Gives: element_of, line, lines_size, lines_start, taps_size

// The taps that are walked through, one line each.
fn taps_size() -> vec3<u32> {
    if (LINES == 1u) { return vec3<u32>(kernel_size().xy, 1u); }
    return kernel_size();
}

// Element e of a line: the tap along the width (0 where that is walked through) and the channel, which is past the last one in the
// padding.
struct Element {
    k: u32,
    c: u32,
}

fn element_of(e: u32) -> Element {
    if (LINES == 0u) { return Element(0u, e); }
    let k = quotient(e, params.source_channels);
    if (k >= kernel_size().z) { return Element(0u, params.source_channels); }
    return Element(k, e - k * params.source_channels);
}
// Puts the weights in the order in which product.wgsl reads them: a[group][row tile][tap][quad of the line][row of the tile], a vec4 along
// the line. Rows and elements that are not there are 0.
//
// Needs of attention/tiles: ROWS
// Needs of conv/window or window/taps: volume
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of software/conv/lines: element_of, taps_size
// Needs of the generator: LINES, WORKGROUP, params.channel_step, params.group_step, params.items, params.quads, params.row_step,
//     params.row_tiles, params.rows, params.source_channels, params.w_d, params.w_h, params.w_offset, params.w_w, store_a, w
// Gives: weight
fn weight(g: u32, row: u32, tap: vec3<u32>, e: u32) -> f32 {
    let element = element_of(e);
    var k = tap;
    if (LINES == 1u) { k.z = element.k; }
    if (row >= params.rows || element.c >= params.source_channels) { return 0.0; }
    return f32(w[params.w_offset + g * params.group_step + row * params.row_step + element.c * params.channel_step
        + dot(k, vec3<u32>(params.w_d, params.w_h, params.w_w))]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_index(group, groups) * WORKGROUP + local;
    if (i >= params.items) { return; }
    let step = quotient(i / ROWS, params.quads);
    let e = (i / ROWS - step * params.quads) * 4u;
    let tile = quotient(step, volume(taps_size()));
    let tap = position(step - tile * volume(taps_size()), taps_size());
    let g = quotient(tile, params.row_tiles);
    let row = (tile - g * params.row_tiles) * ROWS + i % ROWS;
    store_a(i, vec4<f32>(
        weight(g, row, tap, e),
        weight(g, row, tap, e + 1u),
        weight(g, row, tap, e + 2u),
        weight(g, row, tap, e + 3u),
    ));
}

// Kernel conv
struct Params {
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
    rows: u32,
    row_tiles: u32,
    source_channels: u32,
    quads: u32,
    tiles: u32,
    p24: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lines: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> b2: array<vec4<f32>>;
const WORKGROUP: u32 = 64u;
const LANES: u32 = 8u;
const ROWS: u32 = 8u;
const LINES: u32 = 0u;
const STRIDE_D: u32 = 1u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;

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
fn quad_lines(i: u32) -> vec4<f32> {
    return vec4<f32>(lines[i]);
}
fn quad_a(i: u32) -> vec4<f32> {
    return vec4<f32>(a[i]);
}
fn store(i: u32, value: vec4<f32>) {
    b2[i] = value;
}
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
// Position p of the output reads, by tap k, element p * stride + k * dilation - padding of the input: along each dim apart.
//
// Needs of conv/window: STRIDE
// Needs of conv/window or pool/sliding: dilation, padding
// Needs of conv/window or window/taps: input_size, output_size
// Gives: Tap, result_size, source_size, tap_of
struct Tap {
    at: vec3<u32>,
    inside: vec3<bool>,
}

fn source_size() -> vec3<u32> { return input_size(); }
fn result_size() -> vec3<u32> { return output_size(); }

// Positions before the first element wrap to huge ones, which are outside as well.
fn tap_of(p: vec3<u32>, k: vec3<u32>) -> Tap {
    let at = p * STRIDE + k * dilation() - padding();
    return Tap(at, at < input_size());
}
// How the blocked convolution kernels see their source, the tensor that taps read: as lines, the params.quads * 4 elements that one tap
// of one position reads, padded with zeros. A line holds the channels of a position; with few channels (LINES = 1) those of all taps along
// the width, so that less of it is padding. Lines lie in order of image, group and position behind one line of zeros, which stands for
// all positions outside.
//
// Needs of conv/window: kernel_size
// Needs of conv/window or window/taps: number, volume
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size, source_size, tap_of
// Needs of the generator: LINES, params.groups, params.quads, params.source_channels
// Gives: element_of, line, lines_size, lines_start, taps_size

// The taps that are walked through, one line each.
fn taps_size() -> vec3<u32> {
    if (LINES == 1u) { return vec3<u32>(kernel_size().xy, 1u); }
    return kernel_size();
}

// The positions that have lines.
fn lines_size() -> vec3<u32> {
    if (LINES == 1u) { return vec3<u32>(source_size().xy, result_size().z); }
    return source_size();
}

// The first quad of the lines of group g of image n.
fn lines_start(n: u32, g: u32) -> u32 {
    return ((n * params.groups + g) * volume(lines_size()) + 1u) * params.quads;
}

// The first quad of the line that tap k of position p reads, for lines that start at `start`.
fn line(start: u32, p: vec3<u32>, k: vec3<u32>, there: bool) -> u32 {
    var tap = tap_of(p, k);
    if (LINES == 1u) {
        tap.at.z = p.z;
        tap.inside.z = true;
    }
    let at = start + number(tap.at, lines_size()) * params.quads;
    return select(0u, at, there && all(tap.inside));
}
// Stores one row of four columns, where the positions of an image are a multiple of four.
//
// Needs of conv/window or window/taps: volume
// Needs of software/conv/product: Columns
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size
// Needs of the generator: params.groups, params.rows, store
// Gives: put
fn put(g: u32, row: u32, columns: Columns, values: vec4<f32>) {
    if (row >= params.rows || !columns.there.x) { return; }
    let positions = volume(result_size());
    store((((columns.n.x * params.groups + g) * params.rows + row) * positions + columns.i.x) / 4u, values);
}
// The convolution, or its gradient with respect to the input, as a matrix product whose right operand is never stored: row r of the
// left one holds the weights of an output channel, a column is a position of an image, and the sum runs over the elements of the lines that
// the taps of a position read (Chellapilla, Puri & Simard 2006 made the columns in memory; Chetlur et al. 2014, arXiv:1410.0759, on the
// fly). A tile is ROWS rows by LANES * 4 columns; a lane has four neighbouring columns.
//
// Needs of attention/tiles: ROWS
// Needs of conv/window or window/taps: next, volume
// Needs of rows/row_per_workgroup_subgroups: position
// Needs of software/conv/lines: line, lines_start, taps_size
// Needs of software/conv/put_quads or software/conv/put_scalars or software/conv/weight_product: put
// Needs of software/conv/rows_subgroup or software/conv/tiles_plain: add8
// Needs of software/conv/tap_backward or software/conv/tap_forward: result_size
// Needs of software/conv/tiles_plain: Sums
// Needs of the generator: LANES, params.batch, params.groups, params.quads, params.row_tiles, quad_lines
// Gives: Columns, run
struct Columns {
    n: vec4<u32>,
    i: vec4<u32>,
    there: vec4<bool>,
}

fn put8(g: u32, row: u32, columns: Columns, sums: Sums) {
    put(g, row, columns, sums.row0);
    put(g, row + 1u, columns, sums.row1);
    put(g, row + 2u, columns, sums.row2);
    put(g, row + 3u, columns, sums.row3);
    put(g, row + 4u, columns, sums.row4);
    put(g, row + 5u, columns, sums.row5);
    put(g, row + 6u, columns, sums.row6);
    put(g, row + 7u, columns, sums.row7);
}

fn run(tile: u32, lane: u32) {
    // Down the rows first, so that the tiles in flight read the same part of the source.
    let panel = quotient(tile, params.row_tiles);
    let row_tile = tile - panel * params.row_tiles;
    let column_tile = quotient(panel, params.groups);
    let g = panel - column_tile * params.groups;

    let positions = volume(result_size());
    let column = (column_tile * LANES + lane) * 4u + vec4<u32>(0u, 1u, 2u, 3u);
    let own = min(column, vec4<u32>(params.batch * positions - 1u));
    var columns = Columns(vec4<u32>(), vec4<u32>(), column == own);
    var p: array<vec3<u32>, 4>;
    var start: array<u32, 4>;
    for (var j = 0u; j < 4u; j++) {
        columns.n[j] = quotient(own[j], positions);
        columns.i[j] = own[j] - columns.n[j] * positions;
        p[j] = position(columns.i[j], result_size());
        start[j] = lines_start(columns.n[j], g);
    }

    var a_at = (g * params.row_tiles + row_tile) * volume(taps_size()) * params.quads * ROWS;
    var sums0 = Sums();
    var sums1 = Sums();
    var sums2 = Sums();
    var sums3 = Sums();
    var k = vec3<u32>(0u);
    for (var t = 0u; t < volume(taps_size()); t++) {
        let at0 = line(start[0], p[0], k, true);
        let at1 = line(start[1], p[1], k, true);
        let at2 = line(start[2], p[2], k, true);
        let at3 = line(start[3], p[3], k, true);
        for (var q = 0u; q < params.quads; q++) {
            let b = transpose(mat4x4<f32>(
                quad_lines(at0 + q),
                quad_lines(at1 + q),
                quad_lines(at2 + q),
                quad_lines(at3 + q),
            ));
            add8(&sums0, a_at, lane, b);
            if (ROWS > 8u) { add8(&sums1, a_at + 8u, lane, b); }
            if (ROWS > 16u) {
                add8(&sums2, a_at + 16u, lane, b);
                add8(&sums3, a_at + 24u, lane, b);
            }
            a_at += ROWS;
        }
        k = next(k, taps_size());
    }

    let row = row_tile * ROWS;
    put8(g, row, columns, sums0);
    if (ROWS > 8u) { put8(g, row + 8u, columns, sums1); }
    if (ROWS > 16u) {
        put8(g, row + 16u, columns, sums2);
        put8(g, row + 24u, columns, sums3);
    }
}
// Four steps of k for one row: a has its elements of A, b the lane's own four columns.
//
// Gives: multiply
fn multiply(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}
// A lane's results of eight rows: four columns of each.
//
// Needs of attention/tiles: ROWS
// Needs of software/matmul/multiply: multiply
// Gives: Sums, multiply4
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

// Four steps of k for eight rows; lane i holds the elements of row i of A. Row by row: a sum that does not fit the registers is loaded and
// stored once.
fn multiply4(sums: ptr<function, Sums>, a: vec4<f32>, b: mat4x4<f32>) {
    (*sums).row0 = multiply((*sums).row0, subgroupBroadcast(a, 0u), b);
    (*sums).row1 = multiply((*sums).row1, subgroupBroadcast(a, 1u), b);
    (*sums).row2 = multiply((*sums).row2, subgroupBroadcast(a, 2u), b);
    (*sums).row3 = multiply((*sums).row3, subgroupBroadcast(a, 3u), b);
    if (ROWS > 4u) {
        (*sums).row4 = multiply((*sums).row4, subgroupBroadcast(a, 4u), b);
        (*sums).row5 = multiply((*sums).row5, subgroupBroadcast(a, 5u), b);
        (*sums).row6 = multiply((*sums).row6, subgroupBroadcast(a, 6u), b);
        (*sums).row7 = multiply((*sums).row7, subgroupBroadcast(a, 7u), b);
    }
}
// Eight rows of a tile for a subgroup of at least eight lanes: lane i loads row i of A, and the elements go round by broadcast. On adapters
// that run shaders on CPU cores each lane's load is a step of its own and costs most, and a broadcast costs almost nothing.
//
// Needs of software/conv/tiles_plain: Sums
// Needs of software/matmul/lanes: multiply4
// Needs of the generator: quad_a
// Gives: add8
fn add8(sums: ptr<function, Sums>, at: u32, lane: u32, b: mat4x4<f32>) {
    multiply4(sums, quad_a(at + lane % 8u), b);
}
// The entry point for adapters with subgroups, of which each has a tile.
//
// Needs of software/conv/product or software/conv/weight_product: run
// Needs of the generator: LANES, WORKGROUP, params.tiles
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = workgroup_index(group, groups) * (WORKGROUP / LANES) + subgroup;
    if (tile >= params.tiles) { return; }
    run(tile, lane);
}
