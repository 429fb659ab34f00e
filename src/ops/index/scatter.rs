//! Sums and last writers of scattered elements.
//!
//! The indices of each row are sorted with their places; then the elements for one place of the output are a segment of the
//! sorted order, which its invocation walks. Work grows with the number of elements and no atomics are needed. Where whole rows go to
//! one place, as in the gradient of an embedding, a segment is looked up once for several elements. Where there are few indices, each
//! invocation looks at all of them instead.

use std::ops::Range;

use super::reduce::{NAME, ScatterReduce};
use super::{checked, expect_index, params, with_dim};
use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Wgsl, Word, Write};
use crate::graph::{IndexCheck, Meta, Op, Var, Vjp};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, wgsl};
use crate::ops::sort::{self, Rows, scratch, scratch_write, sorting};

/// Up to so many indices along the dim every place of the output looks at all of them...
const FEW: usize = 16;
/// ... and up to so many where they are few in all: this many looks in the whole.
const FEW_LOOKS: usize = 1 << 20;
/// The longest loop over indices.
const LONGEST_LOOP: usize = 16_384;
/// Parts of a row of the output that an invocation sums at a time; it looks up the segment once for one or two times as many.
const RUN: usize = 4;
/// Rows longer than this get totals of chunks, so that long segments are summed in few steps.
const LONG_SEGMENT: usize = 1024;

/// `y[o, k, i] = Σ_{j: index[o, j, i] = k} x[o, j, i]` along `dim`, which gets `size` elements.
#[derive(Clone, Copy, Hash)]
pub(super) struct ScatterSum {
    pub dim: usize,
    pub size: usize,
}

/// One plus the last `j` with `index[o, j, i] = k`, 0 where there is none.
#[derive(Clone, Copy, Hash)]
pub(super) struct LastWriter {
    pub dim: usize,
    pub size: usize,
}

impl Op for ScatterSum {
    fn name(&self) -> &str {
        "scatter_add"
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, _inputs: &[&Meta]) -> Option<IndexCheck> {
        Some(IndexCheck { input: 1, bound: self.size as u64, ignored: None })
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, index) = (inputs[0], inputs[1]);
        expect_index("scatter_add", index)?;
        check_dim("scatter_add", &x.shape, self.dim)?;
        if x.dtype == DType::Bool {
            return Err(Error::dtype("scatter_add", "sums numbers; cast booleans first", &[x.dtype]));
        }
        if x.shape != index.shape {
            return Err(Error::shape("scatter_add", "source and index must match", &[&x.shape, &index.shape]));
        }
        Ok(Meta { shape: with_dim(&x.shape, self.dim, self.size), dtype: x.dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, to) = (around(&inputs[0].shape(), self.dim), around(&output.shape, self.dim));
        let index = checked("scatter_add", inputs[1], self.size)?;
        let place = |(p, k): (usize, usize)| (p / from.inner / from.size * to.size + k) * to.inner + p % from.inner;
        let places: Vec<usize> = index.into_iter().enumerate().map(place).collect();
        if output.dtype.is_float() {
            let mut sums = vec![0.0; output.numel()];
            for (place, value) in places.into_iter().zip(inputs[0].to_f64()) {
                sums[place] += value;
            }
            return Ok(Array::from_vec(&output.shape, sums).cast(output.dtype));
        }
        // Integers wrap; two's complement sums of either type have the same bits.
        let mut sums = vec![0i32; output.numel()];
        for (place, value) in places.into_iter().zip(inputs[0].to_f64()) {
            sums[place] = sums[place].wrapping_add(value as i64 as i32);
        }
        Ok(Array::from_vec(&output.shape, sums).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(Var::apply(super::Gather { dim: self.dim, name: "gather" }, &[cx.dy, &cx.inputs[1]])), None])
    }
}

impl Op for LastWriter {
    fn name(&self) -> &str {
        "scatter"
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, _inputs: &[&Meta]) -> Option<IndexCheck> {
        Some(IndexCheck { input: 0, bound: self.size as u64, ignored: None })
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        expect_index("scatter", inputs[0])?;
        check_dim("scatter", &inputs[0].shape, self.dim)?;
        Ok(Meta { shape: with_dim(&inputs[0].shape, self.dim, self.size), dtype: DType::U32 })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, to) = (around(&inputs[0].shape(), self.dim), around(&output.shape, self.dim));
        let mut last = vec![0u32; output.numel()];
        for (p, k) in checked("scatter", inputs[0], self.size)?.into_iter().enumerate() {
            let (o, j) = (p / from.inner / from.size, p / from.inner % from.size);
            last[(o * to.size + k) * to.inner + p % from.inner] = j as u32 + 1;
        }
        Ok(Array::from_vec(&output.shape, last))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

/// Whether every place of the output may look at every index of its row.
fn are_few(len: usize, total: usize) -> bool {
    len <= FEW || (len <= LONGEST_LOOP && len.saturating_mul(total) <= FEW_LOOKS)
}

/// Whether an index is the same along all of `dims`, by construction.
fn repeats(operand: &Operand, mut dims: Range<usize>) -> bool {
    let (shape, strides) = (&operand.layout.shape, &operand.layout.strides);
    dims.all(|d| shape[d] == 1 || strides[d] == 0)
}

/// Sorted indices and where each place of the output finds its segment.
struct Segments {
    stages: Vec<Stage>,
    /// Scratch buffer of the sorted indices.
    keys: usize,
    /// Scratch buffer of the places that they came from, and behind them, from element `starts` on, where the segment of each
    /// `k` in `0..=size` begins in its row. One buffer, so that kernels which read it stay within their bindings.
    order: usize,
    starts: usize,
    /// First scratch buffer that is not used.
    free: usize,
    /// Rows of indices along the outer and the inner dims: 1 where all are equal by construction.
    rows: (usize, usize),
}

/// Sorts the indices of `operand` (input `input`) along `dim`, with `size` places for them.
fn segments(op: &'static str, operand: &Operand, input: usize, dim: usize, size: usize) -> Result<Segments> {
    let from = around(&operand.meta.shape, dim);
    // An index that is expanded along all outer or all inner dims holds one row for all of them.
    let outer = if repeats(operand, 0..dim) { from.outer.min(1) } else { from.outer };
    let inner = if repeats(operand, dim + 1..operand.layout.shape.rank()) { from.inner.min(1) } else { from.inner };
    let rows = outer.saturating_mul(inner);
    let word = |n| routine::size(op, n);
    let mut sorted = sorting(Rows {
        op,
        read: routine::read("index", input),
        rows,
        len: from.size,
        params: vec![("inner", word(from.inner)?), ("row_inner", word(inner)?), ("size", word(size)?)],
        checks_indices: true,
        block: [wgsl!("sort/row_indices", "sort/finish_run", "sort/block"); 2],
        to_output: false,
    })?;
    let starts = rows.saturating_mul(from.size);
    let total = rows.saturating_mul(size + 1);
    word(starts.saturating_add(total))?;
    sorted.stages.push(Stage {
        name: "scatter_starts",
        source: wgsl!("index/starts"),
        reads: vec![scratch("keys", sorted.keys)],
        writes: vec![scratch_write("starts", sorted.order, starts + total, DType::U32)],
        consts: vec![("WORKGROUP", WORKGROUP)],
        params: vec![
            ("total", word(total)?),
            ("len", word(from.size)?),
            ("size", word(size)?),
            ("starts", word(starts)?),
        ],
        checks_indices: false,
        workgroups: routine::grid(total),
    });
    let sort::Sorting { stages, keys, order, free } = sorted;
    Ok(Segments { stages, keys, order, starts, free, rows: (outer, inner) })
}

impl Segments {
    /// What kernels need to find a segment.
    fn params(&self, op: &str) -> Result<[(&'static str, Word); 3]> {
        let word = |n| routine::size(op, n);
        Ok([("row_outer", word(self.rows.0)?), ("row_inner", word(self.rows.1)?), ("starts", word(self.starts)?)])
    }
}

/// Texts for the element types: of sums one element at a time and four, of other reductions one.
macro_rules! texts {
    ($($file:literal),+) => {
        Texts {
            sums: [texts!(@ "part_one", $($file),+), texts!(@ "part_four", $($file),+)],
            others: [
                wgsl!("types/f32", "index/part_one", "index/reduce_f32", $(concat!("index/", $file)),+),
                wgsl!("types/i32", "index/part_one", "index/reduce_i32", $(concat!("index/", $file)),+),
                wgsl!("types/u32", "index/part_one", "index/reduce_u32", $(concat!("index/", $file)),+),
            ],
        }
    };
    (@ $part:literal, $($file:literal),+) => {
        [
            wgsl!("types/f32", concat!("index/", $part), "index/sum", $(concat!("index/", $file)),+),
            wgsl!("types/i32", concat!("index/", $part), "index/sum", $(concat!("index/", $file)),+),
            wgsl!("types/u32", concat!("index/", $part), "index/sum", $(concat!("index/", $file)),+),
        ]
    };
}

struct Texts {
    sums: [[Wgsl; 3]; 2],
    others: [Wgsl; 3],
}

/// What the kernels of [`ScatterSum`] and [`ScatterReduce`] differ in.
struct Walk {
    name: &'static str,
    dim: usize,
    size: usize,
    /// Inputs: what is scattered, and where to.
    source: usize,
    index: usize,
    /// How values are put together, unless they are added up: [`ScatterReduce::consts`].
    reduction: Option<[(&'static str, u32); 2]>,
}

impl Walk {
    fn stages(&self, inputs: &[Operand], output: &Operand) -> Result<Vec<Stage>> {
        let name = self.name;
        let word = |n| routine::size(name, n);
        let Meta { shape, dtype } = &output.meta;
        let to = around(shape, self.dim);
        let len = inputs[self.source].meta.shape[self.dim];
        let total = shape.numel();
        let rows = to.inner > 1 && repeats(&inputs[self.index], self.dim + 1..shape.rank());
        // Only rows are stored by fours, and only sums.
        let quads = rows && to.inner.is_multiple_of(4) && self.reduction.is_none();
        let text = |texts: Texts| {
            let texts = if self.reduction.is_some() { texts.others } else { texts.sums[usize::from(quads)] };
            match dtype {
                DType::F16 | DType::F32 | DType::F64 => texts[0],
                DType::I32 => texts[1],
                DType::U32 | DType::Bool => texts[2],
            }
        };
        let consts = |more: &[(&'static str, u32)]| {
            let reduction = self.reduction.iter().flatten().copied();
            [("WORKGROUP", WORKGROUP)].into_iter().chain(more.iter().copied()).chain(reduction).collect::<Vec<_>>()
        };
        // What the places hold, where that takes part.
        let own = self.reduction.map(|_| routine::read("own", 0));
        let few = if rows { len.saturating_mul(total) <= FEW_LOOKS } else { are_few(len, total) };
        if few {
            let mut reads = vec![routine::read("x", self.source), routine::read("index", self.index)];
            reads.extend(own);
            let texts = Texts { sums: [texts!("scatter_add").sums[0]; 2], ..texts!("scatter_add") };
            return Ok(vec![Stage {
                name,
                source: text(texts),
                reads,
                writes: vec![routine::output()],
                consts: consts(&[]),
                params: params(total, to.inner, to.size, len)?,
                checks_indices: true,
                workgroups: routine::grid(total),
            }]);
        }
        let mut segments = segments(name, &inputs[self.index], self.index, self.dim, self.size)?;
        // About as many chunks as a chunk has elements, so that neither loop is long.
        let chunk = if len > LONG_SEGMENT { len.isqrt().next_power_of_two() } else { len.max(1) };
        let loops = 2 * chunk + len / chunk;
        if loops > 60_000 {
            let detail = format!("{len} indices along the dim are more than the kernel's loops take");
            return Err(Error::unsupported(name, detail));
        }
        let chunks = if len > LONG_SEGMENT { len / chunk } else { 0 };
        let inner = if quads { to.inner / 4 } else { to.inner };
        let iterations = if inner > RUN && 2 * loops <= 60_000 { 2 } else { 1 };
        let runs = inner.div_ceil(if rows { iterations * RUN } else { 1 });
        let items = to.outer * to.size * runs;
        let with = |total: usize| -> Result<Vec<(&'static str, Word)>> {
            let mut all = params(total, inner, to.size, len)?;
            all.extend(segments.params(name)?);
            all.extend([("chunk", word(chunk)?), ("chunks", word(chunks)?), ("runs", word(runs)?)]);
            Ok(all)
        };
        let access = if quads { Access::LogicalVec4 } else { Access::Logical };
        let source = Read { name: "x", slot: BufferSlot::Input(self.source), access };
        let mut reads = vec![source, scratch("order", segments.order)];
        let last = Stage {
            name,
            source: text(match (rows, chunks > 0) {
                (false, false) => texts!("run_one", "segment_short", "segment_sum"),
                (false, true) => texts!("run_one", "totals_one", "segment_long", "segment_sum"),
                (true, false) => texts!("run_four", "segment_short", "segment_rows"),
                (true, true) => texts!("run_four", "totals_four", "segment_long", "segment_rows"),
            }),
            reads: Vec::new(),
            writes: vec![Write { vec4: quads, ..routine::output() }],
            consts: consts(&[("OUTER", u32::from(to.outer > 1)), ("ITERATIONS", iterations as u32)]),
            params: with(items)?,
            checks_indices: false,
            workgroups: routine::grid(items),
        };
        if chunks > 0 {
            let totals = to.outer * chunks * inner;
            let width = if quads { 4 } else { 1 };
            let write = scratch_write("totals", segments.free, totals * width, dtype.register());
            let stage = Stage {
                name: "scatter_totals",
                source: text(texts!("segment_totals")),
                reads: reads.iter().cloned().chain([scratch("keys", segments.keys)]).chain(own.clone()).collect(),
                writes: vec![Write { vec4: quads, ..write }],
                consts: consts(&[]),
                params: with(totals)?,
                checks_indices: false,
                workgroups: routine::grid(totals),
            };
            segments.stages.push(stage);
            reads.push(Read { name: "totals", slot: BufferSlot::Scratch(segments.free), access });
        }
        reads.extend(own);
        segments.stages.push(Stage { reads, ..last });
        Ok(segments.stages)
    }
}

impl Routine for ScatterSum {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let ScatterSum { dim, size } = *self;
        Walk { name: "scatter_add", dim, size, source: 0, index: 1, reduction: None }.stages(inputs, output)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for ScatterReduce {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let size = output.meta.shape[self.dim];
        Walk { name: NAME, dim: self.dim, size, source: 1, index: 2, reduction: Some(self.consts()) }
            .stages(inputs, output)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for LastWriter {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let to = around(&output.meta.shape, self.dim);
        let len = inputs[0].meta.shape[self.dim];
        let total = output.meta.numel();
        let mut params = params(total, to.inner, to.size, len)?;
        let mut stage = Stage {
            name: "scatter",
            source: wgsl!("index/last_writer"),
            reads: vec![routine::read("index", 0)],
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: params.clone(),
            checks_indices: true,
            workgroups: routine::grid(total),
        };
        if are_few(len, total) {
            return Ok(vec![stage]);
        }
        let mut segments = segments("scatter", &inputs[0], 0, self.dim, self.size)?;
        params.extend(segments.params("scatter")?);
        stage.source = wgsl!("index/last_of_segment");
        stage.reads = vec![scratch("order", segments.order)];
        stage.params = params;
        stage.checks_indices = false;
        segments.stages.push(stage);
        Ok(segments.stages)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}
