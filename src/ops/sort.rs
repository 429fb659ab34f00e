//! Sorting: a stable merge sort of keys with their places, and what is built from it. The order is an integer tensor; the sorted
//! values are gathered by it, so their gradients are those of `gather`.
//!
//! NaN counts as larger than every number, as in PyTorch; `-0` and `0` are equal.

use std::cmp::Ordering;

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Wgsl, Word, Write};
use crate::graph::{Meta, Op, Var, Vjp, no_grad};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, poisoned, wgsl};
use crate::shape::Shape;

/// Elements that the first stage sorts by rank.
const BLOCK: usize = 32;

/// Longest row: twice the length of a run must fit 32 bits.
const LONGEST: usize = 1 << 30;

/// For each place along `dim`, which element stands there in sorted order (u32).
#[derive(Clone, Copy, Hash)]
struct Argsort {
    dim: usize,
    descending: bool,
}

impl Op for Argsort {
    fn name(&self) -> &str {
        "argsort"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        check_dim("argsort", &inputs[0].shape, self.dim)?;
        Ok(Meta { shape: inputs[0].shape.clone(), dtype: DType::U32 })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let around = around(&output.shape, self.dim);
        let values = inputs[0].to_f64();
        let compare = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (a, b) => a.cmp(&b),
        };
        let mut out = vec![0u32; output.numel()];
        for (o, i) in (0..around.outer).flat_map(|o| (0..around.inner).map(move |i| (o, i))) {
            let at = |k: usize| (o * around.size + k) * around.inner + i;
            let mut order: Vec<usize> = (0..around.size).collect();
            order.sort_by(|&a, &b| {
                let ascending = compare(values[at(a)], values[at(b)]);
                if self.descending { ascending.reverse() } else { ascending }
            });
            for (k, from) in order.into_iter().enumerate() {
                out[at(k)] = from as u32;
            }
        }
        Ok(Array::from_vec(&output.shape, out))
    }

    fn vjp(&self, _cx: &Vjp) -> Result<Vec<Option<Var>>> {
        Ok(vec![None])
    }

    fn differentiable(&self) -> bool {
        false
    }
}

/// Rows to be sorted, as the shaders see them.
pub(super) struct Rows {
    /// The op, for errors.
    pub op: &'static str,
    /// How the first stage reads its keys.
    pub read: Read,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub len: usize,
    /// Parameters that only the first stage needs.
    pub params: Vec<(&'static str, Word)>,
    /// Whether keys are indices, which the first stage checks.
    pub checks_indices: bool,
    /// The first stage: for rows that need no other and end in the output, and for those that end in a run.
    pub block: [Wgsl; 2],
    /// Whether the order goes to the output, and not to scratch buffers.
    pub to_output: bool,
}

/// The stages of a sort, and where it leaves what it found.
pub(super) struct Sorting {
    pub stages: Vec<Stage>,
    /// Scratch buffer of the sorted keys, `[rows, len]`.
    pub keys: usize,
    /// Scratch buffer of the places that they came from, `[rows, len]`.
    pub order: usize,
    /// First scratch buffer that is not used.
    pub free: usize,
}

/// A bare read of a scratch buffer.
pub(super) fn scratch(name: &'static str, slot: usize) -> Read {
    Read { name, slot: BufferSlot::Scratch(slot), access: Access::Raw }
}

/// The write of a scratch buffer.
pub(super) fn scratch_write(name: &'static str, slot: usize, numel: usize, dtype: DType) -> Write {
    Write { name, slot: BufferSlot::Scratch(slot), vec4: false, scratch: Some((numel, dtype)) }
}

/// Plans the sort of `rows`.
pub(super) fn sorting(rows: Rows) -> Result<Sorting> {
    if rows.len > LONGEST {
        let detail = format!("{} elements along the dim; at most {LONGEST} are supported", rows.len);
        return Err(Error::unsupported(rows.op, detail));
    }
    let total = rows.rows.saturating_mul(rows.len);
    let shared = vec![("total", routine::size(rows.op, total)?), ("len", routine::size(rows.op, rows.len)?)];
    let run = |k: usize| {
        let slot = 2 * (k % 2);
        vec![scratch_write("keys", slot, total, DType::U32), scratch_write("order", slot + 1, total, DType::U32)]
    };
    let merges = rows.len.div_ceil(BLOCK).max(1).next_power_of_two().trailing_zeros() as usize;
    let ends = |k: usize| rows.to_output && k == merges;
    let mut stages = vec![Stage {
        name: "sort_block",
        source: rows.block[usize::from(!ends(0))],
        reads: vec![rows.read],
        writes: if ends(0) { vec![routine::output()] } else { run(0) },
        consts: vec![("WORKGROUP", WORKGROUP), ("BLOCK", BLOCK as u32)],
        params: shared.iter().chain(&rows.params).copied().collect(),
        checks_indices: rows.checks_indices,
        workgroups: routine::grid(total),
    }];
    for k in 1..=merges {
        let mut params = shared.clone();
        params.push(("width", routine::size(rows.op, BLOCK << (k - 1))?));
        if ends(k) {
            params.extend(rows.params.iter().filter(|(name, _)| *name == "inner"));
        }
        let from = 2 * ((k - 1) % 2);
        stages.push(Stage {
            name: "sort_merge",
            source: if ends(k) {
                wgsl!("sort/finish_order", "sort/merge")
            } else {
                wgsl!("sort/finish_run", "sort/merge")
            },
            reads: vec![scratch("keys", from), scratch("order", from + 1)],
            writes: if ends(k) { vec![routine::output()] } else { run(k) },
            consts: vec![("WORKGROUP", WORKGROUP)],
            params,
            checks_indices: false,
            workgroups: routine::grid(total),
        });
    }
    let last = 2 * (merges % 2);
    Ok(Sorting { stages, keys: last, order: last + 1, free: if merges == 0 { 2 } else { 4 } })
}

impl Routine for Argsort {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        macro_rules! texts {
            ($key:literal) => {
                texts!($key, "finish_order", "finish_run")
            };
            ($key:literal, $($finish:literal),*) => {
                [$(wgsl!(concat!("sort/", $key), "sort/row_values", concat!("sort/", $finish), "sort/block")),*]
            };
        }
        let around = around(&output.meta.shape, self.dim);
        let sorting = sorting(Rows {
            op: "argsort",
            read: routine::read("x", 0),
            rows: around.outer * around.inner,
            len: around.size,
            params: vec![
                ("inner", routine::size("argsort", around.inner)?),
                ("turn", Word::U32(if self.descending { u32::MAX } else { 0 })),
            ],
            checks_indices: false,
            block: match inputs[0].meta.dtype {
                DType::Bool => texts!("key_bool"),
                DType::U32 => texts!("key_u32"),
                DType::I32 => texts!("key_i32"),
                DType::F16 | DType::F32 | DType::F64 => texts!("key_f32"),
            },
            to_output: true,
        })?;
        Ok(sorting.stages)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Var {
    /// The order that sorts along `dim`, as indices (u32); equal elements keep theirs, NaN counts as largest.
    #[track_caller]
    pub fn argsort(&self, dim: usize, descending: bool) -> Var {
        if self.shape().rank() == 0 && dim == 0 && self.0.error.is_none() {
            return self.reshape(&Shape::from([1])).argsort(0, descending).reshape(self.shape());
        }
        Var::apply(Argsort { dim, descending }, &[self])
    }

    /// The elements in sorted order along `dim`, and the indices (u32) that they had; stable, NaN counts as largest.
    #[track_caller]
    pub fn sort(&self, dim: usize, descending: bool) -> (Var, Var) {
        self.taken(dim, self.argsort(dim, descending))
    }

    /// The elements at `order` along `dim`, beside the order. A scalar counts as one row of one element.
    #[track_caller]
    fn taken(&self, dim: usize, order: Var) -> (Var, Var) {
        if let Some(failed) = poisoned(&[self, &order]) {
            return (failed.clone(), failed);
        }
        match self.shape().rank() {
            0 => (self.clone(), order),
            _ => (self.gather(dim, &order), order),
        }
    }

    /// The `k` largest (or smallest) elements along `dim`, the best first, and their indices (u32).
    ///
    /// # Errors
    /// [`Error::Argument`] where the dim has fewer than `k` elements.
    #[track_caller]
    pub fn topk(&self, k: usize, dim: usize, largest: bool) -> Result<(Var, Var)> {
        self.check()?;
        let size = self.row_size("topk", dim)?;
        if k > size {
            let detail = format!("k = {k} of the {size} elements along dim {dim} of shape {}", self.shape());
            return Err(Error::argument("topk", detail));
        }
        let order = self.argsort(dim, largest);
        if self.shape().rank() == 0 && k == 0 {
            let none = |v: &Var| v.reshape(&Shape::from([1])).slice(0, 0, 1, 0);
            return Ok((none(self), none(&order)));
        }
        let order = if self.shape().rank() == 0 { order } else { order.slice(dim, 0, 1, k) };
        Ok(self.taken(dim, order))
    }

    /// The `k`-th smallest element along `dim`, counted from 1, and its index (u32); with `keepdim` the dim stays with size 1.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is no such element.
    #[track_caller]
    pub fn kthvalue(&self, k: usize, dim: usize, keepdim: bool) -> Result<(Var, Var)> {
        self.check()?;
        let size = self.row_size("kthvalue", dim)?;
        if k == 0 || k > size {
            let detail = format!("k = {k} is not in 1..={size} for dim {dim} of shape {}", self.shape());
            return Err(Error::argument("kthvalue", detail));
        }
        let order = self.argsort(dim, false);
        let order = if self.shape().rank() == 0 { order } else { order.slice(dim, k - 1, 1, 1) };
        Ok(self.taken_one(dim, order, keepdim))
    }

    /// The lower median along `dim` and its index (u32): of an even number of elements the smaller middle one. Where an
    /// element is NaN, the first NaN; with `ignore_nan`, the median of the others.
    ///
    /// # Errors
    /// [`Error::Argument`] where the dim has no elements.
    #[track_caller]
    pub fn median(&self, dim: usize, keepdim: bool, ignore_nan: bool) -> Result<(Var, Var)> {
        self.check()?;
        let size = self.row_size("median", dim)?;
        if size == 0 {
            let detail = format!("no element to choose along dim {dim} of shape {}", self.shape());
            return Err(Error::argument("median", detail));
        }
        if self.shape().rank() == 0 {
            return Ok((self.clone(), self.argsort(dim, false)));
        }
        let order = self.argsort(dim, false);
        let middle = (size - 1) / 2;
        if !self.dtype().is_float() {
            return Ok(self.taken_one(dim, order.slice(dim, middle, 1, 1), keepdim));
        }
        // NaNs stand at the end of the sorted row.
        let numbers = self.is_nan().logical_not().cast(DType::I32).sum(&[dim], true);
        let scalar = |value: usize| numbers.scalar_like(value as f64);
        let position = if ignore_nan {
            // Half of the last number's place, rounded down: how many of 2, 4, 6, … are not above it.
            let last = numbers.sub(&scalar(1));
            let mut along = vec![1; self.shape().rank()];
            along[dim] = size;
            let even = Var::generate_arange(2.0, 2.0, size, DType::I32, &self.0.context).reshape(&Shape::from(along));
            even.le(&last).cast(DType::I32).sum(&[dim], true)
        } else {
            numbers.lt(&scalar(size)).where_(&numbers, &scalar(middle))
        };
        Ok(self.taken_one(dim, order.gather(dim, &position), keepdim))
    }

    /// The lower median of all elements, without NaNs with `ignore_nan`; NaN of no floats.
    ///
    /// # Errors
    /// [`Error::Argument`] where there are no elements and the type has no NaN.
    #[track_caller]
    pub fn median_all(&self, ignore_nan: bool) -> Result<Var> {
        self.check()?;
        let flat = self.reshape(&Shape::from([self.shape().numel()]));
        if flat.shape()[0] == 0 && self.dtype().is_float() {
            // The mean of none, which is NaN.
            return Ok(flat.mean(&[0], false));
        }
        let value = no_grad(|| flat.median(0, false, ignore_nan))?.0;
        if !self.dtype().is_float() {
            return Ok(value);
        }
        // The largest of those elements that equal the median: the gradient is shared as that of `max` is.
        let nan = flat.is_nan().logical_and(&value.is_nan());
        let lowest = flat.scalar_like(f64::NEG_INFINITY);
        Ok(flat.eq(&value).logical_or(&nan).where_(&flat, &lowest).max(&[0], false))
    }

    #[track_caller]
    fn taken_one(&self, dim: usize, order: Var, keepdim: bool) -> (Var, Var) {
        let (values, order) = self.taken(dim, order);
        if keepdim || self.shape().rank() == 0 || values.0.error.is_some() {
            return (values, order);
        }
        (values.squeeze(dim), order.squeeze(dim))
    }

    /// Elements along `dim`; a scalar has one along its dim 0.
    fn row_size(&self, op: &str, dim: usize) -> Result<usize> {
        match self.shape().rank() {
            0 if dim == 0 => Ok(1),
            _ => check_dim(op, self.shape(), dim).map(|()| self.shape()[dim]),
        }
    }
}
