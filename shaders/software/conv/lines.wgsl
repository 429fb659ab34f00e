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
