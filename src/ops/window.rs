//! Windows over the spatial dims of `[…, *spatial]`: which input positions an output position reads, and the linear op
//! that sums them with weights. Average pooling and interpolation are this op, and its transpose is their gradient.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Wgsl, Word, Write};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::routine::{self, WORKGROUP, expect_float};
use crate::shape::Shape;

/// Taps of a window that one stage walks through; some software adapters end loops after 65,535 iterations.
const CHUNK: usize = 60_000;

/// What an average divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Divisor {
    /// This number.
    Fixed(usize),
    /// The part of the window that lies in the padded input.
    Padded,
    /// The part of the window that lies in the input.
    Inside,
}

/// How windows lie along the dims; the numbers are for D, H and W.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum WindowKind {
    /// Of `kernel` taps, `dilation` apart, `stride` from window to window, over `padding` on both sides.
    Sliding { kernel: [usize; 3], stride: [usize; 3], padding: [usize; 3], dilation: [usize; 3], divisor: Divisor },
    /// From ⌊o · in / out⌋ to ⌈(o + 1) · in / out⌉.
    Adaptive,
    /// ⌊o · ratio⌋ alone.
    Nearest(Ratio),
    /// ⌊(o + ½) · ratio⌋ alone.
    NearestExact(Ratio),
    /// The two neighbours of a place.
    Linear(Ratio, Corners),
    /// The four neighbours of a place, those beyond the ends being the ends (Keys 1981, with a = −¾).
    Cubic(Ratio, Corners),
}

/// Where an output lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Corners {
    /// At (o + ½) · ratio − ½: elements are areas, whose outer edges meet.
    Edges,
    /// At o · ratio: elements are points, the outermost of which meet.
    Points,
}

/// How far apart neighbouring outputs lie in the input, for each axis: `input` positions for `output` outputs. Whole numbers, so that
/// every kernel, forward and transposed, finds the same positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ratio {
    pub input: [usize; 3],
    pub output: [usize; 3],
}

impl Ratio {
    /// From the outermost positions to each other.
    pub fn aligned(input: [usize; 3], output: [usize; 3]) -> Ratio {
        let mut ratio = Ratio { input: [0; 3], output: [1; 3] };
        for axis in (0..3).filter(|&axis| output[axis] > 1) {
            (ratio.input[axis], ratio.output[axis]) = (input[axis] - 1, output[axis] - 1);
        }
        ratio
    }

    /// One position behind where `o` lies, which may be a little before the first one: so many parts, of which so many are a position.
    fn place(&self, axis: usize, o: usize, corners: Corners) -> (usize, usize) {
        let (input, output) = (self.input[axis], self.output[axis]);
        match corners {
            Corners::Edges => ((2 * o + 1) * input + output, 2 * output),
            Corners::Points => (o * input + output, output),
        }
    }
}

/// The weight of a position this far away.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    match x {
        _ if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        _ => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
    }
}

/// Windows over the last `dims` dims of a tensor; leading ones of D, H, W that are not there have size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Geometry {
    pub dims: usize,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kind: WindowKind,
}

/// `values` for the last dims of D, H, W, `filler` for the others.
pub(super) fn three(values: &[usize], filler: usize) -> [usize; 3] {
    let mut out = [filler; 3];
    out[3 - values.len()..].copy_from_slice(values);
    out
}

impl Geometry {
    /// Checks that the kernels' 32-bit arithmetic holds every number that they meet.
    pub fn check(&self, op: &str) -> Result<()> {
        for axis in 0..3 {
            let (i, o) = (self.input[axis] as u128, self.output[axis] as u128);
            let largest = match self.kind {
                WindowKind::Sliding { kernel, stride, padding, dilation, .. } => {
                    let [k, s, p, d] = [kernel, stride, padding, dilation].map(|v| v[axis] as u128);
                    // Signed, so one bit less.
                    2 * (i + 2 * p + k * d + s.max(o * s))
                }
                WindowKind::Adaptive => (i + 1) * (o + 1),
                WindowKind::Nearest(ratio)
                | WindowKind::NearestExact(ratio)
                | WindowKind::Linear(ratio, _)
                | WindowKind::Cubic(ratio, _) => {
                    let (from, to) = (ratio.input[axis] as u128, ratio.output[axis] as u128);
                    // What `Cubic` meets is the most.
                    ((2 * o + 1) * from + to).max((2 * i + 5) * to + from)
                }
            };
            if largest > u128::from(u32::MAX) {
                let detail = format!("sizes {i} to {o} and the windows over them exceed 32-bit index arithmetic");
                return Err(Error::unsupported(op, detail));
            }
        }
        Ok(())
    }

    /// `shape` with its last dims replaced by those of the output, or of the input.
    pub fn resize(&self, op: &str, shape: &Shape, transposed: bool) -> Result<Shape> {
        let (from, to) = if transposed { (self.output, self.input) } else { (self.input, self.output) };
        let lead = shape.rank().checked_sub(self.dims).filter(|&lead| shape[lead..] == from[3 - self.dims..]);
        match lead {
            Some(lead) => Ok(shape[..lead].iter().chain(&to[3 - self.dims..]).copied().collect()),
            None => {
                let detail = format!("the last dims must be {:?}", &from[3 - self.dims..]);
                Err(Error::shape(op, detail, &[shape]))
            }
        }
    }

    /// The positions that `o` reads along an axis, with their weights, for the CPU reference. Windows do not depend on
    /// each other's axes; a fixed divisor counts once.
    pub fn taps(&self, axis: usize, o: usize) -> Vec<(usize, f64)> {
        let (size, out) = (self.input[axis], self.output[axis]);
        match self.kind {
            WindowKind::Sliding { kernel, stride, padding, dilation, divisor } => {
                let places = (0..kernel[axis]).map(|k| o * stride[axis] + k * dilation[axis]);
                let padded = places.filter(|&p| p < size + 2 * padding[axis]).collect::<Vec<_>>();
                let inside = padded.iter().filter_map(|p| p.checked_sub(padding[axis])).filter(|&p| p < size);
                let inside: Vec<usize> = inside.collect();
                let divisor = match divisor {
                    Divisor::Fixed(n) if axis == 0 => n,
                    Divisor::Fixed(_) => 1,
                    Divisor::Padded => padded.len(),
                    Divisor::Inside => inside.len(),
                };
                inside.into_iter().map(|p| (p, 1.0 / divisor as f64)).collect()
            }
            WindowKind::Adaptive => {
                let (first, end) = (o * size / out, ((o + 1) * size).div_ceil(out));
                (first..end).map(|p| (p, 1.0 / (end - first) as f64)).collect()
            }
            WindowKind::Nearest(ratio) => vec![((o * ratio.input[axis] / ratio.output[axis]).min(size - 1), 1.0)],
            WindowKind::NearestExact(ratio) => {
                vec![(((2 * o + 1) * ratio.input[axis] / (2 * ratio.output[axis])).min(size - 1), 1.0)]
            }
            WindowKind::Linear(ratio, corners) => {
                let (place, whole) = ratio.place(axis, o, corners);
                // Before the first position lies the first one.
                let (low, above) = match place < whole {
                    true => (0, 0.0),
                    false => (place / whole - 1, (place % whole) as f64 / whole as f64),
                };
                let low = low.min(size - 1);
                // Where it lies on a position, that one alone is read, whatever stands in the next.
                match low + 1 < size && above > 0.0 {
                    true => vec![(low, 1.0 - above), (low + 1, above)],
                    false => vec![(low, 1.0)],
                }
            }
            WindowKind::Cubic(ratio, corners) => {
                let (place, whole) = ratio.place(axis, o, corners);
                let above = (place % whole) as f64 / whole as f64;
                let mut taps: Vec<(usize, f64)> = Vec::with_capacity(4);
                for k in 0..4 {
                    // Two before the place, which is one too far.
                    let at = (place / whole + k).saturating_sub(2).min(size - 1);
                    let weight = cubic((k as f64 - 1.0 - above).abs());
                    match taps.last_mut() {
                        Some(last) if last.0 == at => last.1 += weight,
                        _ => taps.push((at, weight)),
                    }
                }
                taps
            }
        }
    }

    /// Bytes of [`Geometry::windows`], at most.
    pub fn windows_bytes(&self) -> u64 {
        let axis = |axis: usize| match self.kind {
            WindowKind::Sliding { kernel, .. } => kernel[axis].min(self.input[axis]),
            WindowKind::Adaptive => self.input[axis] / self.output[axis].max(1) + 2,
            WindowKind::Nearest(_) | WindowKind::NearestExact(_) => 1,
            WindowKind::Linear(..) => 2,
            WindowKind::Cubic(..) => 4,
        };
        let taps = (0..3).map(axis).fold(size_of::<(usize, f64)>(), usize::saturating_mul);
        let window = taps.saturating_add(size_of::<Vec<(usize, f64)>>());
        self.output.iter().fold(window, |bytes, &n| bytes.saturating_mul(n)) as u64
    }

    /// Every output position in a plane with the positions that it reads and their weights, in row-major order.
    pub fn windows(&self) -> Vec<Vec<(usize, f64)>> {
        let [_, h, w] = self.input;
        let axes: [Vec<Vec<(usize, f64)>>; 3] =
            [0, 1, 2].map(|a| (0..self.output[a]).map(|o| self.taps(a, o)).collect());
        let mut all = Vec::with_capacity(self.output.iter().product());
        for d in &axes[0] {
            for y in &axes[1] {
                for x in &axes[2] {
                    let row = |&(pd, wd): &(usize, f64)| {
                        y.iter().flat_map(move |&(py, wy)| {
                            x.iter().map(move |&(px, wx)| ((pd * h + py) * w + px, wd * wy * wx))
                        })
                    };
                    all.push(d.iter().flat_map(row).collect());
                }
            }
        }
        all
    }

    /// The most positions in a window (or, transposed, the most windows over a position).
    fn most_taps(&self, transposed: bool) -> usize {
        let along = |axis: usize| {
            let (from, to) = match transposed {
                true => (self.input[axis], self.output[axis]),
                false => (self.output[axis], self.input[axis]),
            };
            match self.kind {
                WindowKind::Sliding { kernel, stride, dilation, .. } if transposed => {
                    ((kernel[axis] - 1) * dilation[axis] / stride[axis] + 1).min(to)
                }
                WindowKind::Sliding { kernel, .. } => kernel[axis].min(to),
                // ⌊o · to / from⌋ .. ⌈(o + 1) · to / from⌉, in both directions.
                WindowKind::Adaptive => (to.div_ceil(from.max(1)) + 1).min(to),
                WindowKind::Nearest(_) | WindowKind::NearestExact(_) if !transposed => 1,
                WindowKind::Linear(..) if !transposed => 2,
                WindowKind::Cubic(..) if !transposed => 4,
                // The outputs within one position of the input, or two; at the last one, those behind it too.
                WindowKind::Nearest(ratio) | WindowKind::NearestExact(ratio) | WindowKind::Linear(ratio, _) => {
                    ((2 * ratio.output[axis]).div_ceil(ratio.input[axis].max(1)) + 2).min(to)
                }
                WindowKind::Cubic(ratio, _) => {
                    ((4 * ratio.output[axis]).div_ceil(ratio.input[axis].max(1)) + 2).min(to)
                }
            }
        };
        (0..3).map(along).fold(1, usize::saturating_mul)
    }

    /// Stages that each walk through [`CHUNK`] taps of every window at most: first, last and the range of taps. The last stage takes
    /// every tap that is left: the windows themselves, as the kernels know them, say where they end.
    pub fn chunks(&self, transposed: bool) -> Vec<(bool, bool, usize, usize)> {
        let stages = self.most_taps(transposed).div_ceil(CHUNK).max(1);
        let end = |k: usize| if k + 1 == stages { u32::MAX as usize } else { (k + 1) * CHUNK };
        (0..stages).map(|k| (k == 0, k + 1 == stages, k * CHUNK, end(k))).collect()
    }

    /// Whether windows of a fixed size lie in the input.
    pub fn is_inside(&self) -> bool {
        let WindowKind::Sliding { kernel, stride, padding, dilation, .. } = self.kind else { return false };
        let end = |a: usize| (self.output[a].max(1) - 1) * stride[a] + (kernel[a] - 1) * dilation[a];
        padding == [0; 3] && (0..3).all(|a| end(a) < self.input[a])
    }

    /// Taps of a window, where all windows have the same number of them and one stage walks through them; else 0.
    pub fn fixed_taps(&self) -> usize {
        match self.kind {
            WindowKind::Sliding { kernel, .. } if self.is_inside() && self.most_taps(false) <= CHUNK => {
                kernel.iter().product()
            }
            _ => 0,
        }
    }

    /// Constants of the kernels: the windows, which are few to a model. Sizes travel as parameters.
    pub fn consts(&self) -> Vec<(&'static str, u32)> {
        let mut consts = vec![("WORKGROUP", WORKGROUP), ("TAPS", self.fixed_taps() as u32)];
        if let WindowKind::Sliding { kernel, stride, padding, dilation, divisor } = self.kind {
            // `check` has seen that they fit.
            for (names, values) in [
                (["KERNEL_D", "KERNEL_H", "KERNEL_W"], kernel),
                (["STRIDE_D", "STRIDE_H", "STRIDE_W"], stride),
                (["PADDING_D", "PADDING_H", "PADDING_W"], padding),
                (["DILATION_D", "DILATION_H", "DILATION_W"], dilation),
            ] {
                consts.extend(names.into_iter().zip(values.map(|v| v as u32)));
            }
            consts.push(("INSIDE", u32::from(self.is_inside())));
            consts.push((
                "DIVISOR",
                match divisor {
                    Divisor::Fixed(_) => 0,
                    Divisor::Padded => 1,
                    Divisor::Inside => 2,
                },
            ));
        }
        consts
    }

    /// Parameters of the kernels: elements to compute, the range of taps, and the sizes.
    pub fn params(&self, op: &str, total: usize, taps: (usize, usize)) -> Result<Vec<(&'static str, Word)>> {
        let mut params = vec![
            ("total", routine::size(op, total)?),
            ("start", routine::size(op, taps.0)?),
            ("end", routine::size(op, taps.1)?),
        ];
        for (names, values) in [(["in_d", "in_h", "in_w"], self.input), (["out_d", "out_h", "out_w"], self.output)] {
            for (name, value) in names.into_iter().zip(values) {
                params.push((name, routine::size(op, value)?));
            }
        }
        match self.kind {
            WindowKind::Sliding { divisor, .. } => {
                params.push(("divisor", Word::F32(if let Divisor::Fixed(n) = divisor { n as f32 } else { 1.0 })));
            }
            WindowKind::Nearest(ratio)
            | WindowKind::NearestExact(ratio)
            | WindowKind::Linear(ratio, _)
            | WindowKind::Cubic(ratio, _) => {
                let Ratio { input, output } = ratio;
                let names = [["ratio_in_d", "ratio_in_h", "ratio_in_w"], ["ratio_out_d", "ratio_out_h", "ratio_out_w"]];
                for (name, value) in names.into_iter().flatten().zip(input.into_iter().chain(output)) {
                    params.push((name, routine::size(op, value)?));
                }
            }
            WindowKind::Adaptive => {}
        }
        Ok(params)
    }
}

/// The texts of a stage for each kind of windows, behind the given files.
macro_rules! window_texts {
    ($kind:expr, $($file:literal),+) => {
        match $kind {
            WindowKind::Sliding { .. } => window_texts!(@text "pool/sliding", $($file),+),
            WindowKind::Adaptive => window_texts!(@text "pool/adaptive", $($file),+),
            WindowKind::Nearest(_) => window_texts!(@text "interpolate/nearest", $($file),+),
            WindowKind::NearestExact(_) => window_texts!(@text "interpolate/nearest_exact", $($file),+),
            WindowKind::Linear(_, $crate::ops::window::Corners::Edges) => {
                window_texts!(@text "interpolate/edges", "interpolate/linear", $($file),+)
            }
            WindowKind::Linear(_, $crate::ops::window::Corners::Points) => {
                window_texts!(@text "interpolate/points", "interpolate/linear", $($file),+)
            }
            WindowKind::Cubic(_, $crate::ops::window::Corners::Edges) => {
                window_texts!(@text "interpolate/edges", "interpolate/cubic", $($file),+)
            }
            WindowKind::Cubic(_, $crate::ops::window::Corners::Points) => {
                window_texts!(@text "interpolate/points", "interpolate/cubic", $($file),+)
            }
        }
    };
    (@text $($file:literal),+) => {
        $crate::ops::routine::wgsl!("window/taps", $($file),+)
    };
}

/// The weighted sum of each window, `[…, *input]` to `[…, *output]`, or its transpose.
#[derive(Clone, Copy, Hash)]
pub(super) struct WindowSum {
    /// What the user called.
    pub name: &'static str,
    pub geometry: Geometry,
    pub transposed: bool,
}

impl Op for WindowSum {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        expect_float(self.name, *dtype)?;
        self.geometry.check(self.name)?;
        Ok(Meta::new(self.geometry.resize(self.name, shape, self.transposed)?, *dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let x = inputs[0].to_f64();
        let mut y = vec![0.0; output.numel()];
        let (ins, outs): (usize, usize) = (self.geometry.input.iter().product(), self.geometry.output.iter().product());
        let windows = self.geometry.windows();
        // Input and output planes are both there, or both not.
        let planes = if self.transposed { y.len().checked_div(ins) } else { y.len().checked_div(outs) };
        for n in 0..planes.unwrap_or(0) {
            for (o, window) in windows.iter().enumerate() {
                for &(p, weight) in window {
                    match self.transposed {
                        true => y[n * ins + p] += weight * x[n * outs + o],
                        false => y[n * outs + o] += weight * x[n * ins + p],
                    }
                }
            }
        }
        Ok(Array::from_vec(&output.shape, y).cast(output.dtype))
    }

    fn reference_bytes(&self, inputs: &[&Meta], output: &Meta) -> u64 {
        let values = 8 * (inputs[0].numel() as u64 + output.numel() as u64) + output.bytes();
        self.geometry.windows_bytes().saturating_add(values)
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(Var::apply(WindowSum { transposed: !self.transposed, ..*self }, &[cx.dy]))])
    }

    fn is_flat(&self) -> bool {
        // As max pooling is.
        matches!(self.geometry.kind, WindowKind::Sliding { .. } | WindowKind::Adaptive) && !self.transposed
    }
}

/// The stages of sums over windows, whose texts `text(first, last)` gives and whose inputs are `reads`. Sums between
/// stages alternate between two buffers.
pub(super) fn sum_stages(
    name: &'static str,
    geometry: &Geometry,
    transposed: bool,
    output: &Operand,
    reads: &[Read],
    text: impl Fn(bool, bool) -> Wgsl,
) -> Result<Vec<Stage>> {
    let total = output.meta.numel();
    let buffer = |k: usize| BufferSlot::Scratch(k % 2);
    let stage = |(k, (first, last, start, end)): (usize, (bool, bool, usize, usize))| {
        let mut reads = reads.to_vec();
        if !first {
            reads.push(Read { name: "sums", slot: buffer(k + 1), access: Access::Raw });
        }
        let sums = Write { name: "sums", slot: buffer(k), vec4: false, scratch: Some((total, DType::F32)) };
        Ok(Stage {
            name,
            source: text(first, last),
            reads,
            writes: vec![if last { routine::output() } else { sums }],
            consts: geometry.consts(),
            params: geometry.params(name, total, (start, end))?,
            checks_indices: false,
            workgroups: routine::grid(total),
        })
    };
    geometry.chunks(transposed).into_iter().enumerate().map(stage).collect()
}

/// The text of a stage of sums, by whether it is the first and the last one.
macro_rules! sum_texts {
    ($kind:expr, $first:expr, $last:expr, $file:literal) => {
        match ($first, $last) {
            (true, true) => window_texts!($kind, "sums/begin_zero", "sums/finish_output", $file),
            (true, false) => window_texts!($kind, "sums/begin_zero", "sums/finish_sum", $file),
            (false, true) => window_texts!($kind, "sums/begin_sum", "sums/finish_output", $file),
            (false, false) => window_texts!($kind, "sums/begin_sum", "sums/finish_sum", $file),
        }
    };
}
pub(super) use {sum_texts, window_texts};

impl Routine for WindowSum {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let kind = self.geometry.kind;
        let text = |first: bool, last: bool| match self.transposed {
            true => sum_texts!(kind, first, last, "window/transpose"),
            false => sum_texts!(kind, first, last, "window/forward"),
        };
        sum_stages(self.name, &self.geometry, self.transposed, output, &[routine::read("x", 0)], text)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

/// Sizes of the spatial dims of `[N, C, *spatial]` or `[C, *spatial]`, checked: floats, and no dim but N of size 0.
pub(super) fn spatial(op: &str, x: &Var, dims: usize) -> Result<[usize; 3]> {
    let shape = x.shape();
    expect_float(op, x.dtype())?;
    let batch = shape.rank().checked_sub(dims + 1).filter(|&batch| batch <= 1);
    match batch {
        Some(batch) if !shape[batch..].contains(&0) => Ok(three(&shape[batch + 1..], 1)),
        _ => {
            let detail = format!("takes [N, C, …] or [C, …] with {dims} spatial dims, none but N of size 0");
            Err(Error::shape(op, detail, &[shape]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No window has more taps, and no position more windows, than the stages are planned for.
    #[test]
    fn bounds_of_walks_hold() {
        for (input, output) in (1..24).flat_map(|i| (1..60).map(move |o| (i, o))) {
            let mut kinds = vec![WindowKind::Adaptive];
            // By sizes, and by factors that make the same sizes.
            for (from, to) in [(input, output), (2 * input, 2 * output + 1), (3 * input, 3 * output + 2)] {
                let ratio = Ratio { input: three(&[from], 1), output: three(&[to], 1) };
                let edges = Corners::Edges;
                kinds.extend([WindowKind::Nearest(ratio), WindowKind::NearestExact(ratio)]);
                kinds.extend([WindowKind::Linear(ratio, edges), WindowKind::Cubic(ratio, edges)]);
            }
            let ratio = Ratio::aligned(three(&[input], 1), three(&[output], 1));
            kinds.extend([WindowKind::Linear(ratio, Corners::Points), WindowKind::Cubic(ratio, Corners::Points)]);
            for kernel in 1..=input {
                let stride = if output > 1 { (input - kernel) / (output - 1) } else { 1 };
                if stride > 0 && (output - 1) * stride + kernel <= input {
                    let [kernel, stride] = [three(&[kernel], 1), three(&[stride], 1)];
                    let divisor = Divisor::Inside;
                    kinds.push(WindowKind::Sliding { kernel, stride, padding: [0; 3], dilation: [1; 3], divisor });
                }
            }
            for kind in kinds {
                let geometry = Geometry { dims: 1, input: three(&[input], 1), output: three(&[output], 1), kind };
                let windows = geometry.windows();
                let mut readers = vec![0; input];
                windows.iter().flatten().for_each(|&(p, _)| readers[p] += 1);
                let taps = windows.iter().map(Vec::len).max().unwrap_or(0);
                let most = readers.into_iter().max().unwrap_or(0);
                assert!(taps <= geometry.most_taps(false), "{geometry:?}: {taps} taps");
                assert!(most <= geometry.most_taps(true), "{geometry:?}: {most} windows over a position");
            }
        }
    }
}
