//! Indexing by tensors: `gather` and `scatter_add`, which are each other's gradient, and what is built from them.
//!
//! Indices are checked where they are used: one out of range becomes an error at the next read, and memory outside the tensor
//! is never touched. Sums run in the order of the indices without atomics, so results are the same from run to run.

use std::hash::Hasher;

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, Kernel, Operand, Read, Routine, Slot, Stage, Word, Write};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, poisoned};
use crate::shape::Shape;

/// Indices that one stage of a scatter walks through; some software adapters end loops after 65,535 turns.
const CHUNK: usize = 16_384;

/// `y[o, j, i] = x[o, index[o, j, i], i]` along `dim`; all other dims of `x` and `index` agree.
#[derive(Clone, Copy)]
struct Gather {
    dim: usize,
    /// What the user called.
    name: &'static str,
}

/// `y[o, k, i] = Σ_{j: index[o, j, i] = k} x[o, j, i]` along `dim`, which gets `size` elements.
#[derive(Clone, Copy)]
struct ScatterSum {
    dim: usize,
    size: usize,
}

/// One plus the last `j` with `index[o, j, i] = k`, 0 where there is none.
#[derive(Clone, Copy)]
struct LastWriter {
    dim: usize,
    size: usize,
}

fn expect_index(op: &str, index: &Meta) -> Result<()> {
    match index.dtype.is_int() {
        true => Ok(()),
        false => Err(Error::dtype(op, "indices must be i32 or u32", &[index.dtype])),
    }
}

fn with_dim(shape: &Shape, dim: usize, size: usize) -> Shape {
    let mut out = shape.clone();
    out.dims_mut()[dim] = size;
    out
}

/// Indices as i64, each checked against `bound`.
fn checked(op: &str, index: &Array, bound: usize) -> Result<Vec<usize>> {
    let check = |v: f64| {
        let inside = v >= 0.0 && v < bound as f64;
        let fault = || Error::IndexOutOfRange {
            op: op.into(),
            index: v as i64,
            bound: bound as u64,
            shape: None,
            at: Default::default(),
        };
        if inside { Ok(v as usize) } else { Err(fault()) }
    };
    index.to_f64().into_iter().map(check).collect()
}

impl Op for Gather {
    fn name(&self) -> &str {
        self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, index) = (inputs[0], inputs[1]);
        expect_index(self.name, index)?;
        check_dim(self.name, &x.shape, self.dim)?;
        let same_rank = index.shape.rank() == x.shape.rank();
        if !same_rank || with_dim(&index.shape, self.dim, x.shape[self.dim]) != x.shape {
            let detail = format!("the index must match the tensor in every dim but {}", self.dim);
            return Err(Error::shape(self.name, detail, &[&x.shape, &index.shape]));
        }
        Ok(Meta { shape: index.shape.clone(), dtype: x.dtype })
    }

    fn attributes(&self, hash: &mut dyn Hasher) {
        hash.write_usize(self.dim);
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, to) = (around(&inputs[0].shape(), self.dim), around(&output.shape, self.dim));
        let index = checked(self.name, inputs[1], from.size)?;
        let place = |(p, k): (usize, usize)| {
            let o = p / to.inner / to.size;
            (o * from.size + k) * from.inner + p % to.inner
        };
        let places: Vec<usize> = index.into_iter().enumerate().map(place).collect();
        Ok(crate::with_array!(inputs[0], x => {
            let x: Vec<_> = x.iter().copied().collect();
            Array::from_vec(&output.shape, places.into_iter().map(|p| x[p]).collect())
        }))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let size = cx.inputs[0].shape()[self.dim];
        Ok(vec![Some(Var::apply(ScatterSum { dim: self.dim, size }, &[cx.dy, &cx.inputs[1]])), None])
    }
}

impl Op for ScatterSum {
    fn name(&self) -> &str {
        "scatter_add"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (x, index) = (inputs[0], inputs[1]);
        expect_index("scatter_add", index)?;
        check_dim("scatter_add", &x.shape, self.dim)?;
        if !x.dtype.is_float() {
            return Err(Error::dtype("scatter_add", "sums floats", &[x.dtype]));
        }
        if x.shape != index.shape {
            return Err(Error::shape("scatter_add", "source and index must match", &[&x.shape, &index.shape]));
        }
        Ok(Meta { shape: with_dim(&x.shape, self.dim, self.size), dtype: x.dtype })
    }

    fn attributes(&self, hash: &mut dyn Hasher) {
        hash.write_usize(self.dim);
        hash.write_usize(self.size);
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, to) = (around(&inputs[0].shape(), self.dim), around(&output.shape, self.dim));
        let index = checked("scatter_add", inputs[1], self.size)?;
        let mut sums = vec![0.0; output.numel()];
        for (p, (value, k)) in inputs[0].to_f64().into_iter().zip(index).enumerate() {
            let o = p / from.inner / from.size;
            sums[(o * to.size + k) * to.inner + p % from.inner] += value;
        }
        Ok(Array::from_vec(&output.shape, sums).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        Ok(vec![Some(Var::apply(Gather { dim: self.dim, name: "gather" }, &[cx.dy, &cx.inputs[1]])), None])
    }
}

impl Op for LastWriter {
    fn name(&self) -> &str {
        "scatter"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        expect_index("scatter", inputs[0])?;
        check_dim("scatter", &inputs[0].shape, self.dim)?;
        Ok(Meta { shape: with_dim(&inputs[0].shape, self.dim, self.size), dtype: DType::U32 })
    }

    fn attributes(&self, hash: &mut dyn Hasher) {
        hash.write_usize(self.dim);
        hash.write_usize(self.size);
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

/// Parameters that the index kernels share: elements of the output, and the shape around the dim.
fn params(total: usize, inner: usize, size: usize, len: usize) -> Result<Vec<(&'static str, Word)>> {
    let word = |n| routine::size("index", n);
    Ok(vec![("total", word(total)?), ("inner", word(inner)?), ("size", word(size)?), ("len", word(len)?)])
}

impl Routine for Gather {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let to = around(&output.meta.shape, self.dim);
        let size = inputs[0].meta.shape[self.dim];
        Ok(vec![Stage {
            name: "gather",
            source: include_str!("../../shaders/index/gather.wgsl"),
            reads: vec![routine::read("x", 0), routine::read("index", 1)],
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: params(output.meta.numel(), to.inner, size, to.size)?,
            checks_indices: true,
            workgroups: routine::grid(output.meta.numel()),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for ScatterSum {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        macro_rules! text {
            ($begin:literal, $finish:literal) => {
                concat!(
                    include_str!(concat!("../../shaders/index/", $begin, ".wgsl")),
                    include_str!(concat!("../../shaders/index/", $finish, ".wgsl")),
                    include_str!("../../shaders/index/scatter_add.wgsl")
                )
            };
        }
        let to = around(&output.meta.shape, self.dim);
        let len = inputs[0].meta.shape[self.dim];
        let total = output.meta.numel();
        let stages = len.div_ceil(CHUNK).max(1);
        let scratch = |k: usize| Write {
            name: "sums",
            slot: Slot::Scratch(k % 2),
            vec4: false,
            scratch: Some((total, DType::F32)),
        };
        (0..stages)
            .map(|k| {
                let (first, last) = (k == 0, k + 1 == stages);
                let mut reads = vec![routine::read("x", 0), routine::read("index", 1)];
                if !first {
                    // Each stage reads the sums of the one before and writes them to the other of two buffers.
                    reads.push(Read { name: "sums", slot: Slot::Scratch((k + 1) % 2), access: Access::Raw });
                }
                let mut params = params(total, to.inner, to.size, len)?;
                params.push(("start", routine::size("scatter_add", k * CHUNK)?));
                params.push(("end", routine::size("scatter_add", len.min((k + 1) * CHUNK))?));
                Ok(Stage {
                    name: "scatter_add",
                    source: match (first, last) {
                        (true, true) => text!("begin_zero", "finish_output"),
                        (true, false) => text!("begin_zero", "finish_sum"),
                        (false, true) => text!("begin_sum", "finish_output"),
                        (false, false) => text!("begin_sum", "finish_sum"),
                    },
                    reads,
                    writes: vec![if last { routine::output() } else { scratch(k) }],
                    consts: vec![("WORKGROUP", WORKGROUP)],
                    params,
                    checks_indices: true,
                    workgroups: routine::grid(total),
                })
            })
            .collect()
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for LastWriter {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let to = around(&output.meta.shape, self.dim);
        let len = inputs[0].meta.shape[self.dim];
        if len > 60_000 {
            return Err(Error::unsupported(
                "scatter",
                format!("{len} indices along the dim; at most 60,000 are supported"),
            ));
        }
        Ok(vec![Stage {
            name: "scatter",
            source: include_str!("../../shaders/index/last_writer.wgsl"),
            reads: vec![routine::read("index", 0)],
            writes: vec![routine::output()],
            consts: vec![("WORKGROUP", WORKGROUP)],
            params: params(output.meta.numel(), to.inner, to.size, len)?,
            checks_indices: true,
            workgroups: routine::grid(output.meta.numel()),
        }])
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Var {
    /// Elements at the given indices along `dim`; `index` has this rank and is not larger in any other dim.
    #[track_caller]
    pub fn gather(&self, dim: usize, index: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        let mut x = self.clone();
        if index.shape().rank() == self.shape().rank() {
            for d in (0..self.shape().rank()).filter(|&d| d != dim) {
                if index.shape()[d] < self.shape()[d] {
                    x = x.slice(d, 0, 1, index.shape()[d]);
                }
            }
        }
        Var::apply(Gather { dim, name: "gather" }, &[&x, index])
    }

    /// The slices at the given indices (rank 1) along `dim`.
    #[track_caller]
    pub fn index_select(&self, dim: usize, index: &Var) -> Var {
        self.select_at("index_select", dim, index)
    }

    #[track_caller]
    fn select_at(&self, name: &'static str, dim: usize, index: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        if let Err(error) = check_dim(name, self.shape(), dim) {
            return self.fail(error);
        }
        if index.shape().rank() != 1 {
            let detail = "the index must have one dim";
            return self.fail(Error::shape(name, detail, &[self.shape(), index.shape()]));
        }
        if let Err(error) = expect_index(name, index.meta()) {
            return self.fail(error);
        }
        let len = index.shape()[0];
        let along: Shape = (0..self.shape().rank()).map(|d| if d == dim { len } else { 1 }).collect();
        let full = with_dim(self.shape(), dim, len);
        Var::apply(Gather { dim, name }, &[self, &index.reshape(&along).expand(&full)])
    }

    /// Rows of this `[n, d]` at indices of any shape.
    #[track_caller]
    pub fn embedding(&self, index: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        if self.shape().rank() != 2 {
            return self.fail(Error::shape("embedding", "the weight must be [n, d]", &[self.shape(), index.shape()]));
        }
        let rows = self.select_at("embedding", 0, &index.reshape(&Shape::from([index.shape().numel()])));
        let out: Shape = index.shape().iter().copied().chain([self.shape()[1]]).collect();
        if rows.0.error.is_some() { rows } else { rows.reshape(&out) }
    }

    /// This value with `source` added at the given indices along `dim`, in their order.
    #[track_caller]
    pub fn scatter_add(&self, dim: usize, index: &Var, source: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index, source]) {
            return failed;
        }
        if let Err(error) = check_scatter("scatter_add", self, dim, index, source) {
            return self.fail(error);
        }
        let (index, source) = (self.widen(dim, index), self.widen(dim, source));
        let sums = Var::apply(ScatterSum { dim, size: self.shape()[dim] }, &[&source, &index]);
        self.add(&sums)
    }

    /// This value with the elements at the given indices along `dim` replaced by `source`; the last of several wins.
    #[track_caller]
    pub fn scatter(&self, dim: usize, index: &Var, source: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index, source]) {
            return failed;
        }
        if let Err(error) = check_scatter("scatter", self, dim, index, source) {
            return self.fail(error);
        }
        if index.meta().numel() == 0 {
            return self.clone();
        }
        // What lies beyond the index in the other dims stays as it is.
        let (mut reached, mut beyond) = (self.clone(), Vec::new());
        for d in (0..self.shape().rank()).filter(|&d| d != dim) {
            let (size, within) = (self.shape()[d], index.shape()[d]);
            if within < size {
                beyond.push((d, reached.slice(d, within, 1, size - within)));
                reached = reached.slice(d, 0, 1, within);
            }
        }
        let last = Var::apply(LastWriter { dim, size: self.shape()[dim] }, &[index]);
        let written = last.gt(&last.scalar_like(0.0));
        let from = last.maximum(&last.scalar_like(1.0)).sub(&last.scalar_like(1.0));
        let replaced = written.where_(&source.gather(dim, &from), &reached);
        beyond.iter().rev().fold(replaced, |y, (d, rest)| Var::cat(&[&y, rest], *d).unwrap_or_else(|e| self.fail(e)))
    }

    /// Pads indices or sources with zeros up to this value's size in all dims but `dim`: adding zero changes nothing.
    fn widen(&self, dim: usize, part: &Var) -> Var {
        let short = |d: usize| if d == dim { 0 } else { self.shape()[d] - part.shape()[d] };
        let padding: Vec<(usize, usize)> = (0..self.shape().rank()).map(|d| (0, short(d))).collect();
        if padding.iter().all(|p| p.1 == 0) { part.clone() } else { part.pad(&padding, 0.0) }
    }

    /// 1 at each index along a new last dim of size `classes`, else 0, as f32. An index out of range gives a row of zeros.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Var {
        if let Some(failed) = poisoned(&[self]) {
            return failed;
        }
        if let Err(error) = expect_index("one_hot", self.meta()) {
            return self.fail(error);
        }
        self.is_class(classes).cast(DType::F32)
    }

    /// Whether each index equals each of `0..classes`, along a new last dim.
    pub(crate) fn is_class(&self, classes: usize) -> Var {
        let numbers = Var::generate_arange(0.0, 1.0, classes, self.dtype(), &self.0.context);
        self.unsqueeze(self.shape().rank()).eq(&numbers)
    }

    /// The lower triangle of the last two dims up to the `k`-th diagonal.
    ///
    /// # Errors
    /// [`Error::Shape`] where the rank is below two.
    #[track_caller]
    pub fn tril(&self, k: i32) -> Result<Var> {
        let (rows, cols) = self.matrix("tril")?;
        let mask = Var::generate_tril_mask(rows, cols, k, &self.0.context);
        Ok(mask.where_(self, &self.scalar_like(0.0)))
    }

    /// The upper triangle of the last two dims from the `k`-th diagonal on.
    ///
    /// # Errors
    /// [`Error::Shape`] where the rank is below two.
    #[track_caller]
    pub fn triu(&self, k: i32) -> Result<Var> {
        let (rows, cols) = self.matrix("triu")?;
        let mask = Var::generate_triu_mask(rows, cols, k, &self.0.context);
        Ok(mask.where_(self, &self.scalar_like(0.0)))
    }

    fn matrix(&self, op: &str) -> Result<(usize, usize)> {
        match self.shape()[..] {
            [.., rows, cols] => Ok((rows, cols)),
            _ => Err(Error::shape(op, "needs at least two dims", &[self.shape()])),
        }
    }
}

fn check_scatter(op: &str, x: &Var, dim: usize, index: &Var, source: &Var) -> Result<()> {
    check_dim(op, x.shape(), dim)?;
    expect_index(op, index.meta())?;
    if x.dtype() != source.dtype() {
        return Err(Error::dtype(op, "tensor and source must have one type", &[x.dtype(), source.dtype()]));
    }
    let fits = index.shape().rank() == x.shape().rank()
        && index.shape() == source.shape()
        && (0..x.shape().rank()).all(|d| d == dim || index.shape()[d] <= x.shape()[d]);
    if fits && x.shape()[dim] == 0 && index.meta().numel() > 0 {
        // The kernel runs once for each element, so here it could not report what it finds.
        return Err(Error::shape(op, format!("no index fits in dim {dim} of size 0"), &[x.shape(), index.shape()]));
    }
    match fits {
        true => Ok(()),
        false => {
            let detail = "index and source must have one shape, of the tensor's rank and not larger in any dim but the chosen one";
            Err(Error::shape(op, detail, &[x.shape(), index.shape(), source.shape()]))
        }
    }
}
