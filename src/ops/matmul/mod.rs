//! Matrix multiplication: `C[…, i, j] = Σₖ A[…, i, k] · B[…, k, j]`.

pub mod plan;
pub mod problem;

use std::borrow::Cow;

use gemm_common::Parallelism;
use ndarray::ArrayD;

use crate::array::{Array, flat};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::graph::kernel::{Kernel, Operand, Routine, Stage};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::layout::{Layout, View};
use crate::ops::matmul::plan::Family;
use crate::ops::routine;
use crate::shape::Shape;

/// The op behind [`Var::matmul`]: operands of rank two or more with equal batch dims.
#[derive(Hash)]
struct MatMul;

impl Op for MatMul {
    fn name(&self) -> &str {
        "matmul"
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (a, b) = (inputs[0], inputs[1]);
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(Error::dtype("matmul", "takes two floats of one type", &[a.dtype, b.dtype]));
        }
        let (ra, rb) = (a.shape.rank(), b.shape.rank());
        if ra < 2 || ra != rb || a.shape[..ra - 2] != b.shape[..rb - 2] || a.shape[ra - 1] != b.shape[rb - 2] {
            return Err(mismatch(&a.shape, &b.shape));
        }
        let mut shape = a.shape.clone();
        shape.dims_mut()[ra - 1] = b.shape[rb - 1];
        Ok(Meta { shape, dtype: a.dtype })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(MatMulRoutine { family: None, candidate: None }))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let [a, b] = [0, 1].map(|i| Layout::contiguous(inputs[i].shape()));
        self.reference_of_views(&[(inputs[0], &a), (inputs[1], &b)], output).unwrap_or_else(|| {
            Err(Error::dtype("matmul", "takes two floats of one type", &[inputs[0].dtype(), inputs[1].dtype()]))
        })
    }

    fn reference_of_views(&self, inputs: &[(&Array, &Layout)], output: &Meta) -> Option<Result<Array>> {
        let [(a, a_layout), (b, b_layout)] = inputs else { return None };
        Some(Ok(match (a, b) {
            (Array::F32(a), Array::F32(b)) => {
                let (a, b) = (Matrices::new(a, a_layout), Matrices::new(b, b_layout));
                Array::from_vec(&output.shape, multiply(a, b, &output.shape))
            }
            (Array::F64(a), Array::F64(b)) => {
                let (a, b) = (Matrices::new(a, a_layout), Matrices::new(b, b_layout));
                Array::from_vec(&output.shape, multiply(a, b, &output.shape))
            }
            _ => return None,
        }))
    }

    fn reference_bytes(&self, _inputs: &[&Meta], output: &Meta) -> u64 {
        output.bytes()
    }

    /// `dA = dC · Bᵀ`, `dB = Aᵀ · dC`; the transposes are views. Where an operand is itself the transpose of what is in memory, as
    /// a layer's weight is, its gradient is computed in that order (`dBᵀ = dCᵀ · A`): whoever adds the two walks along both.
    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let (a, b, dy) = (&cx.inputs[0], &cx.inputs[1], cx.dy);
        let last = a.shape().rank() - 1;
        let turned = |x: &Var| x.transpose(last - 1, last);
        let product = |x: &Var, y: &Var, is_turned: bool| match is_turned {
            true => turned(&Var::apply(MatMul, &[&turned(y), &turned(x)])),
            false => Var::apply(MatMul, &[x, y]),
        };
        Ok(vec![
            cx.needs[0].then(|| product(dy, &turned(b), is_transpose(a))),
            cx.needs[1].then(|| product(&turned(a), dy, is_transpose(b))),
        ])
    }
}

/// Whether matrices are a view of others with rows and columns swapped.
fn is_transpose(x: &Var) -> bool {
    let Kernel::View(View::Permute(order)) = x.0.kernel() else { return false };
    let rank = order.len();
    let swapped = |dim: usize| if dim + 2 < rank { dim } else { 2 * rank - 3 - dim };
    order.iter().enumerate().all(|(dim, &from)| from == swapped(dim))
}

fn mismatch(a: &Shape, b: &Shape) -> Error {
    let inner = |s: &Shape, back: usize| s.rank().checked_sub(back).map(|d| s[d]);
    let detail = match (inner(a, 1), inner(b, if b.rank() > 1 { 2 } else { 1 })) {
        (Some(k), Some(l)) if k != l => format!("inner sizes {k} and {l} differ"),
        _ => "the operands do not fit".into(),
    };
    Error::shape("matmul", detail, &[a, b])
}

struct MatMulRoutine {
    /// The family of kernels, where it is not the one that suits the adapter.
    family: Option<Family>,
    /// Which of its kernels, where it is not the one that was found best.
    candidate: Option<usize>,
}

impl Routine for MatMulRoutine {
    fn stages(&self, inputs: &[Operand], _output: &Operand, caps: &Caps) -> Result<Vec<Stage>> {
        let problem = plan::Problem::new(&inputs[0], &inputs[1])?;
        let found = || caps.choices.as_ref().and_then(|choices| choices.of(&problem.class()));
        plan::stages_by(&problem, caps, self.family, self.candidate.or_else(found).unwrap_or(0))
    }

    fn baseline(&self) -> Option<Box<dyn Routine>> {
        Some(Box::new(MatMulRoutine { family: Some(Family::Naive), candidate: Some(0) }))
    }

    fn class(&self, inputs: &[Operand]) -> Option<String> {
        Some(plan::Problem::new(&inputs[0], &inputs[1]).ok()?.class())
    }

    fn candidate(&self, candidate: usize) -> Option<Box<dyn Routine>> {
        Some(Box::new(MatMulRoutine { family: self.family, candidate: Some(candidate) }))
    }

    fn fuses_epilogue(&self) -> bool {
        true
    }

    fn stores_at_many_places(&self) -> bool {
        true
    }

    /// Once where an operand is packed, else once for each tile across the other operand. The kernels of GPUs have no registers left to
    /// compute an operand.
    fn loads(&self, input: usize, inputs: &[Operand], output: &Operand, caps: &Caps) -> Option<usize> {
        let stages = self.stages(inputs, output, caps).ok()?;
        routine::loads(&stages, input, |stage, read| {
            let tiles = |name: &str| {
                let (_, count) = stage.params.iter().find(|(own, _)| *own == name)?;
                Some(count.bits() as usize)
            };
            match read.name {
                _ if stage.name == "matmul_tiled" => None,
                "a" => tiles("column_tiles"),
                "b" => tiles("row_tiles"),
                _ => Some(1),
            }
        })
    }

    /// 2·m·n·k for each product of the batch; packing computes nothing, and the sum of a split k adds the partial
    /// products.
    fn flops(&self, stage: &Stage, inputs: &[Operand], output: &Operand) -> Option<u64> {
        let numel = output.meta.numel() as u64;
        match stage.name {
            "matmul_pack" | "matmul_zero" => Some(0),
            "matmul_sum" => {
                let (_, splits) = stage.params.iter().find(|(name, _)| *name == "splits")?;
                numel.checked_mul(u64::from(splits.bits()))
            }
            _ => numel.checked_mul(2)?.checked_mul(*inputs[0].meta.shape.last()? as u64),
        }
    }
}

/// Work (multiplications) from which the product is spread over all cores.
const PARALLEL: usize = 1 << 16;

/// The matrices that a layout's last two dims show in host memory, the other dims being the batch.
pub(crate) struct Matrices<'a, T: Copy> {
    data: Cow<'a, [T]>,
    layout: Cow<'a, Layout>,
}

impl<'a, T: Copy> Matrices<'a, T> {
    /// The elements of a row-major array where `layout` shows them.
    pub fn new(array: &'a ArrayD<T>, layout: &'a Layout) -> Matrices<'a, T> {
        let data = flat(array);
        let last = layout.shape.rank() - 2;
        let runs = layout.strides[last..].iter().zip(&layout.shape[last..]).any(|(&stride, &n)| stride == 1 || n == 1);
        match runs && layout.span().is_none_or(|(low, high)| low >= 0 && (high as usize) < data.len()) {
            true => Matrices { data, layout: Cow::Borrowed(layout) },
            // Kernels want neighbours along rows or along columns.
            false => {
                let copy: Vec<T> = layout.offsets().map(|place| data[place]).collect();
                Matrices { data: Cow::Owned(copy), layout: Cow::Owned(Layout::contiguous(layout.shape.clone())) }
            }
        }
    }

    /// An array as it lies, its dims in any order.
    pub fn of(array: &'a ArrayD<T>) -> Matrices<'a, T> {
        let shape = Shape::from(array.shape());
        match array.as_slice_memory_order() {
            Some(data) => {
                let layout = Layout { shape, strides: array.strides().iter().copied().collect(), offset: 0 };
                Matrices { data: Cow::Borrowed(data), layout: Cow::Owned(layout) }
            }
            None => {
                Matrices { data: Cow::Owned(flat(array).into_owned()), layout: Cow::Owned(Layout::contiguous(shape)) }
            }
        }
    }

    /// Where each matrix begins.
    fn starts(&self) -> Vec<usize> {
        let Layout { shape, strides, offset } = &*self.layout;
        let batch = shape.rank() - 2;
        Layout { shape: shape[..batch].into(), strides: strides[..batch].into(), offset: *offset }.offsets().collect()
    }

    /// Distances between rows and between columns.
    fn strides(&self) -> (isize, isize) {
        let strides = &self.layout.strides;
        (strides[strides.len() - 2], strides[strides.len() - 1])
    }
}

/// The products of two batches of matrices, as `shape` `[.., m, n]` in row-major order.
pub(crate) fn multiply<T: Copy + Default + Gemm>(a: Matrices<T>, b: Matrices<T>, shape: &Shape) -> Vec<T> {
    let rank = shape.rank();
    let (m, n, k) = (shape[rank - 2], shape[rank - 1], a.layout.shape[rank - 1]);
    let mut out = vec![T::default(); shape.numel()];
    if m * n * k == 0 {
        return out;
    }
    let parallelism = if m * n * k >= PARALLEL { Parallelism::Rayon(0) } else { Parallelism::None };
    let (a_strides, b_strides) = (a.strides(), b.strides());
    for ((out, a_start), b_start) in out.chunks_exact_mut(m * n).zip(a.starts()).zip(b.starts()) {
        // SAFETY: `out` holds m·n elements and is borrowed alone; the elements of [m, k] and [k, n] at the strides lie within the slices,
        // as `Matrices` has checked or ndarray has it. Kernels want columns in one piece, so they compute Cᵀ = Bᵀ · Aᵀ.
        unsafe {
            T::gemm(
                [n, m, k],
                (out.as_mut_ptr(), n as isize),
                (b.data.as_ptr().add(b_start), b_strides),
                (a.data.as_ptr().add(a_start), a_strides),
                parallelism,
            );
        }
    }
    out
}

/// A float with a kernel for matrix products.
pub(crate) trait Gemm: Sized {
    /// `dst[m, n] = lhs[m, k] · rhs[k, n]`; of `dst` the distance between columns, whose elements are neighbours, of the others those
    /// between columns and between rows.
    ///
    /// # Safety
    /// All elements lie in memory that may be read, `dst`'s in memory that may be written and that nothing else refers to.
    unsafe fn gemm(
        sizes: [usize; 3],
        dst: (*mut Self, isize),
        lhs: (*const Self, (isize, isize)),
        rhs: (*const Self, (isize, isize)),
        parallelism: Parallelism,
    );
}

macro_rules! gemm {
    ($float:ty, $kernel:path) => {
        impl Gemm for $float {
            unsafe fn gemm(
                [m, n, k]: [usize; 3],
                (dst, dst_columns): (*mut Self, isize),
                (lhs, (lhs_columns, lhs_rows)): (*const Self, (isize, isize)),
                (rhs, (rhs_columns, rhs_rows)): (*const Self, (isize, isize)),
                parallelism: Parallelism,
            ) {
                let kernel = $kernel();
                // SAFETY: the caller's. `false`: what `dst` holds is not read, and nothing is conjugated.
                unsafe {
                    kernel(
                        m,
                        n,
                        k,
                        dst,
                        dst_columns,
                        1,
                        false,
                        lhs,
                        lhs_columns,
                        lhs_rows,
                        rhs,
                        rhs_columns,
                        rhs_rows,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        parallelism,
                    );
                }
            }
        }
    };
}

gemm!(f32, gemm_f32::gemm::f32::get_gemm_fn);
gemm!(f64, gemm_f64::gemm::f64::get_gemm_fn);

/// The shape of a product as far as operands that do not fit let it be known: rows of the left one and columns of the right one, in
/// the longer of both batches.
fn known_shape(a: &Shape, b: &Shape) -> Shape {
    let batch = |s: &Shape| s[..s.rank().saturating_sub(2)].to_vec();
    let (ba, bb) = (batch(a), batch(b));
    let rows = a.rank().checked_sub(2).map(|row| a[row]);
    let columns = (b.rank() >= 2).then(|| b[b.rank() - 1]);
    let longer = if bb.len() > ba.len() { bb } else { ba };
    longer.into_iter().chain(rows).chain(columns).collect()
}

impl Var {
    /// Matrix product. Batch dims broadcast; a vector on the left counts as a row, on the right as a column, and its dim is
    /// dropped from the result.
    #[track_caller]
    pub fn matmul(&self, other: &Var) -> Var {
        let at = crate::graph::here();
        let (a, b) = (self.shape(), other.shape());
        let failed = |error: Error| {
            let error = [self, other].into_iter().find_map(|v| v.0.error.clone()).unwrap_or(error);
            let known = Meta::new(known_shape(a, b), self.dtype().promote(other.dtype()));
            Var::failed_as(error.or_at(at), Some(known), &self.0.context, at)
        };
        if a.rank() == 0 || b.rank() == 0 {
            return failed(mismatch(a, b));
        }
        if a[a.rank() - 1] != b[b.rank().saturating_sub(2)] {
            // Here, so that the text has the shapes as they were given.
            return failed(mismatch(a, b));
        }
        if a.rank() == 1 || b.rank() == 1 {
            let row = if a.rank() == 1 { self.unsqueeze(0) } else { self.clone() };
            let column = if b.rank() == 1 { other.unsqueeze(1) } else { other.clone() };
            let product = row.matmul(&column);
            let mut shape = product.shape().clone();
            if b.rank() == 1 {
                shape = shape.without(shape.rank() - 1);
            }
            if a.rank() == 1 {
                shape = shape.without(shape.rank() - if b.rank() == 1 { 1 } else { 2 });
            }
            return product.reshape(&shape);
        }
        if b.rank() == 2 && a.rank() > 2 {
            // One matrix for the whole batch: its gradient is then one product too, not a sum over products.
            let rows: usize = a[..a.rank() - 1].iter().product();
            let out: Shape = a[..a.rank() - 1].iter().copied().chain([b[1]]).collect();
            let product = self.reshape(&Shape::from([rows, a[a.rank() - 1]])).matmul(other);
            return product.reshape(&out);
        }
        let (ba, bb): (Shape, Shape) = (a[..a.rank() - 2].into(), b[..b.rank() - 2].into());
        let Ok(batch) = ba.broadcast("matmul", &bb) else {
            return failed(mismatch(a, b));
        };
        let with_batch = |s: &Shape| batch.iter().chain(&s[s.rank() - 2..]).copied().collect::<Shape>();
        let dtype = self.dtype().promote(other.dtype());
        let (x, y) =
            if dtype.is_float() { (self.cast(dtype), other.cast(dtype)) } else { (self.clone(), other.clone()) };
        Var::apply(MatMul, &[&x.expand(&with_batch(a)), &y.expand(&with_batch(b))])
    }

    /// `x · wᵀ + bias` with `w` `[out, in]` and `bias` `[out]`.
    #[track_caller]
    pub fn linear(&self, weight: &Var, bias: Option<&Var>) -> Var {
        let at = crate::graph::here();
        if weight.shape().rank() != 2 || self.shape().last() != weight.shape().last() {
            let detail = match (self.shape().last(), weight.shape().rank()) {
                (_, rank) if rank != 2 => format!("the weight must be a matrix [out, in], not of rank {rank}"),
                (None, _) => "the input must have at least one dim, of features".into(),
                (Some(given), _) => {
                    let takes = weight.shape()[1];
                    // Images between convolutions and linear layers are the usual cause.
                    let flat = self.shape().iter().skip(1).try_fold(1usize, |n, &d| n.checked_mul(d)) == Some(takes);
                    let advice = if flat { "; flatten all dims but the first before it" } else { "" };
                    format!(
                        "the last dim of the input has size {given}, but the weight [out, in] takes {takes}{advice}"
                    )
                }
            };
            let fault = || Error::shape("linear", detail.as_str(), &[self.shape(), weight.shape()]);
            let error = [self, weight].into_iter().find_map(|v| v.0.error.clone()).unwrap_or_else(fault);
            let lead = &self.shape()[..self.shape().rank().saturating_sub(1)];
            let known = Meta::new(lead.iter().chain(weight.shape().first()).copied().collect::<Shape>(), self.dtype());
            return Var::failed_as(error.or_at(at), Some(known), &self.0.context, at);
        }
        let product = self.matmul(&weight.transpose(0, 1));
        bias.map_or(product.clone(), |bias| product.add(bias))
    }
}
