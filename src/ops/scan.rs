//! Cumulative ops along a dim: sums, products, extremes, log-sum-exp, and the linear recurrence that their gradients are made of.
//!
//! One blocked scan serves all (see `shaders/scan`): chunks are combined into one element each, level by level, and scanned on
//! the way back. The order is fixed by the sizes alone.

use crate::array::Array;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Access, BufferSlot, Kernel, Operand, Read, Routine, Stage, Wgsl, Word};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::routine::{self, WORKGROUP, around, check_dim, wgsl};
use crate::ops::sort::scratch_write;
use crate::shape::Shape;

/// Elements that one invocation walks.
const CHUNK: usize = 64;

/// How elements combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ScanKind {
    Sum,
    Prod,
    LogSumExp,
    /// The place (u32) of the largest element so far.
    ArgMax,
    /// The place (u32) of the smallest element so far.
    ArgMin,
}

/// `y[k] = combine(x[0], …, x[k])` along `dim`.
#[derive(Clone, Copy, Hash)]
struct Scan {
    kind: ScanKind,
    dim: usize,
}

/// `y[k] = a[k] · y[k − 1] + b[k]` along `dim`, with `y[−1] = 0`.
#[derive(Clone, Copy, Hash)]
struct Recurrence {
    dim: usize,
}

impl ScanKind {
    fn name(self) -> &'static str {
        match self {
            ScanKind::Sum => "cumsum",
            ScanKind::Prod => "cumprod",
            ScanKind::LogSumExp => "logcumsumexp",
            ScanKind::ArgMax => "cummax",
            ScanKind::ArgMin => "cummin",
        }
    }
}

/// Walks each row of `shape` along `dim`: `f` gets the places of its elements in order.
fn walk_rows(shape: &Shape, dim: usize, mut f: impl FnMut(&mut dyn Iterator<Item = usize>)) {
    let around = around(shape, dim);
    for (o, i) in (0..around.outer).flat_map(|o| (0..around.inner).map(move |i| (o, i))) {
        f(&mut (0..around.size).map(|k| (o * around.size + k) * around.inner + i));
    }
}

/// Running combination of `x` in its own type.
fn running<T: Copy>(x: &[T], shape: &Shape, dim: usize, combine: impl Fn(T, T) -> T) -> Vec<T> {
    let mut out = x.to_vec();
    walk_rows(shape, dim, |places| {
        let mut total = None;
        for p in places {
            let next = total.map_or(x[p], |t| combine(t, x[p]));
            out[p] = next;
            total = Some(next);
        }
    });
    out
}

impl Op for Scan {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        check_dim(self.name(), shape, self.dim)?;
        match self.kind {
            ScanKind::Sum | ScanKind::Prod if *dtype == DType::Bool => {
                Err(Error::dtype(self.name(), "takes numbers; cast booleans first", &[*dtype]))
            }
            ScanKind::LogSumExp if !dtype.is_float() => Err(Error::dtype(self.name(), "takes floats", &[*dtype])),
            ScanKind::ArgMax | ScanKind::ArgMin => Ok(Meta { shape: shape.clone(), dtype: DType::U32 }),
            _ => Ok(inputs[0].clone()),
        }
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let shape = &output.shape;
        let log_add = |a: f64, b: f64| match (a.is_nan() || b.is_nan(), a.max(b)) {
            (true, _) => f64::NAN,
            (_, m) if m.is_infinite() => m,
            (_, m) => m + ((a - m).exp() + (b - m).exp()).ln(),
        };
        Ok(match (self.kind, inputs[0]) {
            (ScanKind::Sum, Array::I32(a)) => {
                let x: Vec<i32> = a.iter().copied().collect();
                Array::from_vec(shape, running(&x, shape, self.dim, i32::wrapping_add))
            }
            (ScanKind::Sum, Array::U32(a)) => {
                let x: Vec<u32> = a.iter().copied().collect();
                Array::from_vec(shape, running(&x, shape, self.dim, u32::wrapping_add))
            }
            (ScanKind::Prod, Array::I32(a)) => {
                let x: Vec<i32> = a.iter().copied().collect();
                Array::from_vec(shape, running(&x, shape, self.dim, i32::wrapping_mul))
            }
            (ScanKind::Prod, Array::U32(a)) => {
                let x: Vec<u32> = a.iter().copied().collect();
                Array::from_vec(shape, running(&x, shape, self.dim, u32::wrapping_mul))
            }
            (ScanKind::ArgMax | ScanKind::ArgMin, x) => {
                let x = x.to_f64();
                let mut out = vec![0u32; x.len()];
                walk_rows(shape, self.dim, |places| {
                    let mut best = (f64::NAN, 0);
                    for (k, p) in places.enumerate() {
                        let better = if self.kind == ScanKind::ArgMax { x[p] >= best.0 } else { x[p] <= best.0 };
                        if k == 0 || x[p].is_nan() || better {
                            best = (x[p], k as u32);
                        }
                        out[p] = best.1;
                    }
                });
                Array::from_vec(shape, out)
            }
            (kind, x) => {
                let combine: &dyn Fn(f64, f64) -> f64 = match kind {
                    ScanKind::Sum => &|a, b| a + b,
                    ScanKind::Prod => &|a, b| a * b,
                    _ => &log_add,
                };
                Array::from_vec(shape, running(&x.to_f64(), shape, self.dim, combine)).cast(output.dtype)
            }
        })
    }

    fn differentiable(&self) -> bool {
        !matches!(self.kind, ScanKind::ArgMax | ScanKind::ArgMin)
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let (x, y, dy, dim) = (&cx.inputs[0], cx.output, cx.dy, self.dim);
        Ok(vec![match self.kind {
            ScanKind::Sum => Some(dy.flip(&[dim]).cumsum(dim).flip(&[dim])),
            ScanKind::Prod => {
                // dx[i] = (Π_{k<i} x[k]) · g[i] with g[i] = dy[i] + x[i + 1] g[i + 1]: no division, so zeros need no care.
                let g = x.shifted(dim, false, 0.0).recurrence_back(dy, dim);
                Some(y.shifted(dim, true, 1.0).mul(&g))
            }
            ScanKind::LogSumExp => {
                // dx[i] = e^(x[i] − y[i]) · g[i] with g[i] = dy[i] + e^(y[i] − y[i + 1]) g[i + 1]; y ascends, so no exponent
                // is positive. Where y is −∞, all weights are 0.
                let lowest = y.eq(&y.scalar_like(f64::NEG_INFINITY));
                let finite = lowest.where_(&y.scalar_like(0.0), y);
                let n = x.shape()[dim];
                let behind = n.saturating_sub(1);
                let decay = y.slice(dim, 0, 1, behind).sub(&finite.slice(dim, n - behind, 1, behind)).exp();
                let decay = if n == 0 { decay } else { decay.pad_dim(dim, 0, 1, n, 0.0) };
                let g = decay.recurrence_back(dy, dim);
                Some(x.sub(&finite).exp().mul(&g))
            }
            ScanKind::ArgMax | ScanKind::ArgMin => None,
        }])
    }
}

impl Op for Recurrence {
    fn name(&self) -> &str {
        "linear_recurrence"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (a, b) = (inputs[0], inputs[1]);
        check_dim("linear_recurrence", &a.shape, self.dim)?;
        if !a.dtype.is_float() || a.dtype != b.dtype {
            return Err(Error::dtype("linear_recurrence", "takes floats of one type", &[a.dtype, b.dtype]));
        }
        if a.shape != b.shape {
            return Err(Error::shape("linear_recurrence", "factors and terms must match", &[&a.shape, &b.shape]));
        }
        Ok(a.clone())
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (a, b) = (inputs[0].to_f64(), inputs[1].to_f64());
        let mut out = vec![0.0; a.len()];
        walk_rows(&output.shape, self.dim, |places| {
            let mut last = None;
            for p in places {
                let next = last.map_or(b[p], |y| a[p] * y + b[p]);
                out[p] = next;
                last = Some(next);
            }
        });
        Ok(Array::from_vec(&output.shape, out).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        // g[k] = dy[k] + a[k + 1] g[k + 1] is the gradient of y[k]; then db = g and da[k] = g[k] y[k − 1].
        let g = cx.inputs[0].shifted(self.dim, false, 0.0).recurrence_back(cx.dy, self.dim);
        let da = cx.needs[0].then(|| g.mul(&cx.output.shifted(self.dim, true, 0.0)));
        Ok(vec![da, Some(g)])
    }
}

/// Texts of the stages of a scan: the up-sweep from the operand and from parts; the down-sweep over the operand and over parts,
/// each with nothing and with a prefix before the chunks.
struct Texts {
    reduce: [Wgsl; 2],
    scan: [[Wgsl; 2]; 2],
}

macro_rules! texts {
    (@join $main:literal $($file:expr),*) => {
        wgsl!($($file,)* concat!("scan/", $main))
    };
    ([$($combine:literal),*], $element:literal, $parts:literal, $affine:literal) => {
        Texts {
            reduce: [
                texts!(@join "reduce" $($combine,)* $element, concat!("scan/finish_parts", $affine)),
                texts!(@join "reduce" $($combine,)* $parts, concat!("scan/finish_parts", $affine)),
            ],
            scan: [
                [
                    texts!(@join "scan" $($combine,)* $element, "scan/before_none", concat!("scan/finish_output", $affine)),
                    texts!(@join "scan" $($combine,)* $element, concat!("scan/before_prefix", $affine), concat!("scan/finish_output", $affine)),
                ],
                [
                    texts!(@join "scan" $($combine,)* $parts, "scan/before_none", concat!("scan/finish_prefix", $affine)),
                    texts!(@join "scan" $($combine,)* $parts, concat!("scan/before_prefix", $affine), concat!("scan/finish_prefix", $affine)),
                ],
            ],
        }
    };
}

/// What differs between scans.
struct Program {
    name: &'static str,
    texts: Texts,
    /// Reads of the operand.
    reads: Vec<Read>,
    /// Whether stages over parts read the operand too, since parts are places in it.
    parts_are_places: bool,
    /// Names of the values that stand for a chunk.
    parts: &'static [&'static str],
    dtype: DType,
    consts: Vec<(&'static str, u32)>,
    params: Vec<(&'static str, Word)>,
}

impl Program {
    /// Up through the levels, until one chunk holds a row, and down again.
    fn stages(&self, shape: &Shape, dim: usize) -> Result<Vec<Stage>> {
        let size = |n| routine::size(self.name, n);
        let around = around(shape, dim);
        let mut lens = vec![around.size];
        while lens[lens.len() - 1] > CHUNK {
            lens.push(lens[lens.len() - 1].div_ceil(CHUNK));
        }
        // Scratch of level k > 0: its parts, then their scan.
        let slot = |level: usize, j: usize| (level - 1) * (self.parts.len() + 1) + j;
        let numel = |level: usize| around.outer * lens[level] * around.inner;
        let load = |name, level, j| Read { name, slot: BufferSlot::Scratch(slot(level, j)), access: Access::Logical };
        let elements = |level: usize| -> Vec<Read> {
            if level == 0 {
                return self.reads.clone();
            }
            let operand = if self.parts_are_places { self.reads.clone() } else { Vec::new() };
            let parts = self.parts.iter().enumerate().map(|(j, &name)| load(name, level, j));
            operand.into_iter().chain(parts).collect()
        };
        let stage = |level: usize, source, reads, writes| -> Result<Stage> {
            let chunks = lens[level].div_ceil(CHUNK);
            let total = around.outer * chunks * around.inner;
            let mut params = vec![
                ("total", size(total)?),
                ("inner", size(around.inner)?),
                ("row_len", size(around.size)?),
                ("len", size(lens[level])?),
                ("chunks", size(chunks)?),
            ];
            params.extend(&self.params);
            let consts = [("WORKGROUP", WORKGROUP), ("CHUNK", CHUNK as u32)];
            Ok(Stage {
                name: self.name,
                source,
                reads,
                writes,
                consts: consts.into_iter().chain(self.consts.iter().copied()).collect(),
                params,
                checks_indices: false,
                workgroups: routine::grid(total),
            })
        };
        let top = lens.len() - 1;
        let mut stages = Vec::new();
        for level in 0..top {
            let write = |(j, &name): (usize, &&'static str)| {
                scratch_write(name, slot(level + 1, j), numel(level + 1), self.dtype)
            };
            let writes = self.parts.iter().enumerate().map(write).collect();
            stages.push(stage(level, self.texts.reduce[usize::from(level > 0)], elements(level), writes)?);
        }
        for level in (0..=top).rev() {
            let mut reads = elements(level);
            if level < top {
                reads.push(load("prefix", level + 1, self.parts.len()));
            }
            let writes = match level {
                0 => routine::output(),
                _ => scratch_write("prefix", slot(level, self.parts.len()), numel(level), self.dtype),
            };
            let text = self.texts.scan[usize::from(level > 0)][usize::from(level < top)];
            stages.push(stage(level, text, reads, vec![writes])?);
        }
        Ok(stages)
    }
}

impl Routine for Scan {
    fn stages(&self, inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        macro_rules! value {
            ($ty:literal, $combine:literal) => {
                texts!([$ty, $combine], "scan/element_x", "scan/element_parts", "")
            };
        }
        macro_rules! place {
            ($key:literal) => {
                texts!(["types/u32", $key, "scan/extreme"], "scan/element_place", "scan/element_parts", "")
            };
        }
        let dtype = inputs[0].meta.dtype;
        let places = matches!(self.kind, ScanKind::ArgMax | ScanKind::ArgMin);
        let program = Program {
            name: self.kind.name(),
            texts: match (self.kind, dtype.register()) {
                (ScanKind::Sum, DType::I32) => value!("types/i32", "scan/sum"),
                (ScanKind::Sum, DType::U32 | DType::Bool) => value!("types/u32", "scan/sum"),
                (ScanKind::Sum, _) => value!("types/f32", "scan/sum"),
                (ScanKind::Prod, DType::I32) => value!("types/i32", "scan/prod"),
                (ScanKind::Prod, DType::U32 | DType::Bool) => value!("types/u32", "scan/prod"),
                (ScanKind::Prod, _) => value!("types/f32", "scan/prod"),
                (ScanKind::LogSumExp, _) => value!("types/f32", "scan/logsumexp"),
                (_, DType::Bool) => place!("sort/key_bool"),
                (_, DType::U32) => place!("sort/key_u32"),
                (_, DType::I32) => place!("sort/key_i32"),
                _ => place!("sort/key_f32"),
            },
            reads: vec![routine::read("x", 0)],
            parts_are_places: places,
            parts: &["parts"],
            dtype: output.meta.dtype.register(),
            consts: if places { vec![("FLOATS", u32::from(dtype.is_float()))] } else { Vec::new() },
            params: match self.kind {
                ScanKind::ArgMax => vec![("turn", Word::U32(0))],
                ScanKind::ArgMin => vec![("turn", Word::U32(u32::MAX))],
                _ => Vec::new(),
            },
        };
        program.stages(&output.meta.shape, self.dim)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Routine for Recurrence {
    fn stages(&self, _inputs: &[Operand], output: &Operand, _caps: &Caps) -> Result<Vec<Stage>> {
        let program = Program {
            name: "linear_recurrence",
            texts: texts!(["scan/affine"], "scan/element_affine", "scan/element_affine", "_affine"),
            reads: vec![routine::read("a", 0), routine::read("b", 1)],
            parts_are_places: false,
            parts: &["a", "b"],
            dtype: output.meta.dtype.register(),
            consts: Vec::new(),
            params: Vec::new(),
        };
        program.stages(&output.meta.shape, self.dim)
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }
}

impl Var {
    #[track_caller]
    fn scan(&self, kind: ScanKind, dim: usize) -> Var {
        if self.shape().rank() == 0 && dim == 0 {
            return self.reshape(&Shape::from([1])).scan(kind, 0).reshape(self.shape());
        }
        Var::apply(Scan { kind, dim }, &[self])
    }

    /// Running sums along `dim`; integers wrap, booleans count as `i32`.
    #[track_caller]
    pub fn cumsum(&self, dim: usize) -> Var {
        self.numbers().scan(ScanKind::Sum, dim)
    }

    /// Running products along `dim`; integers wrap, booleans count as `i32`. The gradient is right at zeros.
    #[track_caller]
    pub fn cumprod(&self, dim: usize) -> Var {
        self.numbers().scan(ScanKind::Prod, dim)
    }

    /// `ln Σ e^x` of the elements so far along `dim`, without overflow.
    #[track_caller]
    pub fn logcumsumexp(&self, dim: usize) -> Var {
        self.float().scan(ScanKind::LogSumExp, dim)
    }

    /// The largest element so far along `dim` and its index (u32), the last one of equals; NaN counts as largest.
    #[track_caller]
    pub fn cummax(&self, dim: usize) -> (Var, Var) {
        self.running_extreme(ScanKind::ArgMax, dim)
    }

    /// The smallest element so far along `dim` and its index (u32), the last one of equals; NaN counts as smallest.
    #[track_caller]
    pub fn cummin(&self, dim: usize) -> (Var, Var) {
        self.running_extreme(ScanKind::ArgMin, dim)
    }

    #[track_caller]
    fn running_extreme(&self, kind: ScanKind, dim: usize) -> (Var, Var) {
        let places = self.scan(kind, dim);
        let values = if self.shape().rank() == 0 { self.clone() } else { self.gather(dim, &places) };
        (values, places)
    }

    /// The first-order linear recurrence `y[k] = a[k] · y[k − 1] + b[k]` along `dim` with `a` this value and `y[−1] = 0`, as a
    /// scan of affine maps. (Blelloch 1990) Carries [`Error::Shape`] where the operands differ in shape.
    #[track_caller]
    pub fn linear_recurrence(&self, b: &Var, dim: usize) -> Var {
        Var::apply(Recurrence { dim }, &[self, b])
    }

    /// `y[k] = self[k] · y[k + 1] + b[k]`: the recurrence from the end.
    #[track_caller]
    fn recurrence_back(&self, b: &Var, dim: usize) -> Var {
        self.flip(&[dim]).linear_recurrence(&b.flip(&[dim]), dim).flip(&[dim])
    }

    /// Elements moved by one place along `dim`, forward or back; `value` comes in at the free end.
    #[track_caller]
    fn shifted(&self, dim: usize, forward: bool, value: f64) -> Var {
        let size = self.shape()[dim];
        match (size, forward) {
            (0, _) => self.clone(),
            (_, true) => self.slice(dim, 0, 1, size - 1).pad_dim(dim, 1, 1, size, value),
            (_, false) => self.slice(dim, 1, 1, size - 1).pad_dim(dim, 0, 1, size, value),
        }
    }

    /// Differences of neighbours along `dim`, which gets one element fewer; booleans: whether they differ.
    #[track_caller]
    pub fn diff(&self, dim: usize) -> Var {
        if let Err(error) = check_dim("diff", self.shape(), dim) {
            return self.fail(error);
        }
        let len = self.shape()[dim].saturating_sub(1);
        let (left, right) = (self.slice(dim, 0, 1, len), self.slice(dim, self.shape()[dim] - len, 1, len));
        if self.dtype() == DType::Bool { right.logical_xor(&left) } else { right.sub(&left) }
    }
}
