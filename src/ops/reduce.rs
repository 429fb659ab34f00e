//! Reductions over any dims.
//!
//! NaN: `max`, `min` return NaN where an element is NaN; `argmax`, `argmin` return the place of the first NaN.

use ndarray::ArrayD;
use smallvec::SmallVec;

use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Combine, Kernel, Reduce};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::layout::Layout;
use crate::ops::routine::check_dim;
use crate::shape::Shape;

/// The reductions as users name them; `any` and `all` are `max` and `min` on booleans with a value for no elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ReduceKind {
    Sum,
    Prod,
    Max,
    Min,
    ArgMax,
    ArgMin,
    Any,
    All,
}

impl ReduceKind {
    fn name(self) -> &'static str {
        match self {
            ReduceKind::Sum => "sum",
            ReduceKind::Prod => "prod",
            ReduceKind::Max => "max",
            ReduceKind::Min => "min",
            ReduceKind::ArgMax => "argmax",
            ReduceKind::ArgMin => "argmin",
            ReduceKind::Any => "any",
            ReduceKind::All => "all",
        }
    }

    fn combine(self) -> Combine {
        match self {
            ReduceKind::Sum => Combine::Sum,
            ReduceKind::Prod => Combine::Prod,
            ReduceKind::Max | ReduceKind::Any => Combine::Max,
            ReduceKind::Min | ReduceKind::All => Combine::Min,
            ReduceKind::ArgMax => Combine::ArgMax,
            ReduceKind::ArgMin => Combine::ArgMin,
        }
    }
}

/// A reduction over `dims` (ascending, not empty), which the output drops.
#[derive(Hash)]
struct ReduceOp {
    kind: ReduceKind,
    dims: SmallVec<[usize; 6]>,
}

impl ReduceOp {
    /// The output's shape with the reduced dims kept at size 1.
    fn kept(&self, shape: &Shape) -> Shape {
        shape.iter().enumerate().map(|(d, &n)| if self.dims.contains(&d) { 1 } else { n }).collect()
    }
}

impl Op for ReduceOp {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let Meta { shape, dtype } = inputs[0];
        for &dim in &self.dims {
            check_dim(self.name(), shape, dim)?;
        }
        if self.dims.windows(2).any(|w| w[0] >= w[1]) {
            let detail = format!("dims {:?} of shape {shape} must differ", self.dims);
            return Err(Error::argument(self.name(), detail));
        }
        let dtype = match (self.kind, dtype) {
            (ReduceKind::ArgMax | ReduceKind::ArgMin, _) => DType::U32,
            (ReduceKind::Any | ReduceKind::All, DType::Bool) => DType::Bool,
            (ReduceKind::Any | ReduceKind::All, _) => {
                return Err(Error::dtype(self.name(), "takes booleans", &[*dtype]));
            }
            (ReduceKind::Sum | ReduceKind::Prod, DType::Bool) => {
                return Err(Error::dtype(self.name(), "takes numbers; cast booleans first", &[*dtype]));
            }
            _ => *dtype,
        };
        let has_neutral = matches!(self.kind, ReduceKind::Sum | ReduceKind::Prod | ReduceKind::Any | ReduceKind::All);
        if !has_neutral && self.dims.iter().any(|&d| shape[d] == 0) {
            let detail = format!("no element to choose along dims {:?} of shape {shape}", self.dims);
            return Err(Error::argument(self.name(), detail));
        }
        let out: Shape = (0..shape.rank()).filter(|d| !self.dims.contains(d)).map(|d| shape[d]).collect();
        Ok(Meta::new(out, dtype))
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Reduce(Reduce { combine: self.kind.combine(), dims: self.dims.clone() })
    }

    fn differentiable(&self) -> bool {
        matches!(self.kind, ReduceKind::Sum | ReduceKind::Prod | ReduceKind::Max | ReduceKind::Min)
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (x, dims, shape) = (inputs[0], &self.dims[..], &output.shape);
        // Picks by a total order of candidates; `nan` marks values that beat all others.
        macro_rules! extreme {
            ($a:ident, $nan:expr) => {{
                let better = |new, old| match self.kind {
                    ReduceKind::Max | ReduceKind::ArgMax | ReduceKind::Any => new > old,
                    _ => new < old,
                };
                let pick = fold($a, dims, None, |best: &mut Option<(_, u32)>, value, index| {
                    let take = match *best {
                        None => true,
                        Some((old, _)) => !$nan(old) && ($nan(value) || better(value, old)),
                    };
                    if take {
                        *best = Some((value, index));
                    }
                });
                if matches!(self.kind, ReduceKind::ArgMax | ReduceKind::ArgMin) {
                    Array::from_vec(shape, pick.into_iter().map(|p| p.map_or(0, |(_, index)| index)).collect())
                } else {
                    // Inference has refused empty ranges, so every pick is some value.
                    Array::from_vec(shape, pick.into_iter().flatten().map(|(value, _)| value).collect())
                }
            }};
        }
        Ok(match (self.kind, x) {
            (ReduceKind::Any, Array::Bool(a)) => Array::from_vec(shape, fold(a, dims, false, |t, v, _| *t |= v)),
            (ReduceKind::All, Array::Bool(a)) => Array::from_vec(shape, fold(a, dims, true, |t, v, _| *t &= v)),
            (ReduceKind::Sum, Array::F32(a)) => {
                // Summed in f64 and rounded once: what every order of summation aims at.
                let total = fold(a, dims, 0f64, |t, v, _| *t += f64::from(v));
                Array::from_vec(shape, total.into_iter().map(|v| v as f32).collect())
            }
            (ReduceKind::Sum, Array::F64(a)) => Array::from_vec(shape, fold(a, dims, 0f64, |t, v, _| *t += v)),
            (ReduceKind::Sum, Array::I32(a)) => {
                Array::from_vec(shape, fold(a, dims, 0i32, |t, v: i32, _| *t = t.wrapping_add(v)))
            }
            (ReduceKind::Sum, Array::U32(a)) => {
                Array::from_vec(shape, fold(a, dims, 0u32, |t, v: u32, _| *t = t.wrapping_add(v)))
            }
            (ReduceKind::Prod, Array::F32(a)) => {
                let total = fold(a, dims, 1f64, |t, v, _| *t *= f64::from(v));
                Array::from_vec(shape, total.into_iter().map(|v| v as f32).collect())
            }
            (ReduceKind::Prod, Array::F64(a)) => Array::from_vec(shape, fold(a, dims, 1f64, |t, v, _| *t *= v)),
            (ReduceKind::Prod, Array::I32(a)) => {
                Array::from_vec(shape, fold(a, dims, 1i32, |t, v: i32, _| *t = t.wrapping_mul(v)))
            }
            (ReduceKind::Prod, Array::U32(a)) => {
                Array::from_vec(shape, fold(a, dims, 1u32, |t, v: u32, _| *t = t.wrapping_mul(v)))
            }
            (_, Array::F16(_)) => return Err(Error::dtype(self.name(), "f16 is computed in f32", &[DType::F16])),
            (_, Array::F32(a)) => extreme!(a, |v: f32| v.is_nan()),
            (_, Array::F64(a)) => extreme!(a, |v: f64| v.is_nan()),
            (_, Array::I32(a)) => extreme!(a, |_| false),
            (_, Array::U32(a)) => extreme!(a, |_| false),
            (_, Array::Bool(a)) => extreme!(a, |_| false),
        })
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let x = &cx.inputs[0];
        let kept = self.kept(x.shape());
        let dy = cx.dy.reshape(&kept);
        let dx = match self.kind {
            ReduceKind::Sum => dy.expand(x.shape()),
            ReduceKind::Prod if cx.create_graph => dy.mul(&self.others(x)),
            ReduceKind::Prod => {
                // Product of the others: all / x without a zero; with one zero, only the zero's place has any.
                let zero = x.eq(&x.scalar_like(0.0));
                let nonzero = zero.where_(&x.scalar_like(1.0), x);
                let all = nonzero.prod(&self.dims, true);
                let zeros = zero.sum(&self.dims, true);
                let lone = zero.where_(&all, &x.scalar_like(0.0));
                let one = zeros.eq(&zeros.scalar_like(1.0)).where_(&lone, &x.scalar_like(0.0));
                let none = zeros.eq(&zeros.scalar_like(0.0));
                dy.mul(&none.where_(&all.div(&nonzero), &one))
            }
            ReduceKind::Max | ReduceKind::Min => {
                let ties = x.eq(&cx.output.reshape(&kept));
                let share = dy.per_count(&ties.sum(&self.dims, true));
                ties.cast(x.dtype()).mul(&share)
            }
            _ => {
                return Err(Error::Autograd {
                    op: self.name().into(),
                    detail: "has no gradient".into(),
                    at: Default::default(),
                });
            }
        };
        Ok(vec![Some(dx)])
    }
}

impl ReduceOp {
    /// At each place, the product of all other elements along the reduced dims, by products only, so that derivatives of
    /// any order are right at zeros: prefix times suffix, each in log2(n) doublings.
    fn others(&self, x: &Var) -> Var {
        let rank = x.shape().rank();
        let mut order: Vec<usize> = (0..rank).filter(|d| !self.dims.contains(d)).collect();
        order.extend(&self.dims);
        let moved = x.permute(&order);
        let n: usize = self.dims.iter().map(|&d| x.shape()[d]).product();
        let rows = moved.reshape(&Shape::from([self.rows(x.shape()), n]));
        let shift = |v: &Var, by: usize, forward: bool| {
            // Elements move by `by` places; ones come in.
            let by = by.min(n);
            if forward {
                v.slice(1, 0, 1, n - by).pad(&[(0, 0), (by, 0)], 1.0)
            } else {
                v.slice(1, by, 1, n - by).pad(&[(0, 0), (0, by)], 1.0)
            }
        };
        let exclusive = |forward: bool| {
            let mut scan = shift(&rows, 1, forward);
            let mut by = 1;
            while by < n {
                scan = scan.mul(&shift(&scan, by, forward));
                by *= 2;
            }
            scan
        };
        let product = exclusive(true).mul(&exclusive(false)).reshape(moved.shape());
        let mut back = vec![0; rank];
        for (to, &from) in order.iter().enumerate() {
            back[from] = to;
        }
        product.permute(&back)
    }

    /// Number of elements in the output.
    fn rows(&self, shape: &Shape) -> usize {
        (0..shape.rank()).filter(|d| !self.dims.contains(d)).map(|d| shape[d]).product()
    }
}

/// Folds the elements of each output place in row-major order; `f` gets the element's index along the first of `dims`.
fn fold<T: Copy, A: Clone>(a: &ArrayD<T>, dims: &[usize], init: A, mut f: impl FnMut(&mut A, T, u32)) -> Vec<A> {
    let shape = Shape::from(a.shape());
    let out: Shape = (0..shape.rank()).filter(|d| !dims.contains(d)).map(|d| shape[d]).collect();
    let mut own = out.strides().into_iter();
    let strides = (0..shape.rank()).map(|d| if dims.contains(&d) { 0 } else { own.next().unwrap_or(0) }).collect();
    let along = (0..shape.rank()).map(|d| isize::from(d == dims[0])).collect();
    let places = Layout { shape: shape.clone(), strides, offset: 0 };
    let indices = Layout { shape, strides: along, offset: 0 };
    let mut totals = vec![init; out.numel()];
    for ((place, index), &value) in places.offsets().zip(indices.offsets()).zip(a.iter()) {
        f(&mut totals[place], value, index as u32);
    }
    totals
}

impl Var {
    #[track_caller]
    fn reduce(&self, kind: ReduceKind, dims: &[usize], keepdim: bool) -> Var {
        if self.shape().rank() == 0 && dims == [0] && matches!(kind, ReduceKind::ArgMax | ReduceKind::ArgMin) {
            // A scalar counts as a row of one element.
            return self.reshape(&Shape::from([1])).reduce(kind, dims, false);
        }
        let mut dims: SmallVec<[usize; 6]> = SmallVec::from_slice(dims);
        dims.sort_unstable();
        if dims.is_empty() {
            return self.clone();
        }
        let op = ReduceOp { kind, dims };
        let kept = keepdim.then(|| op.kept(self.shape()));
        let out = Var::apply(op, &[self]);
        match kept {
            Some(shape) => out.reshape(&shape),
            _ => out,
        }
    }

    /// Σ over `dims` (none: the value itself); 0 where there is no element. Integers stay, booleans count as `i32`.
    #[track_caller]
    pub fn sum(&self, dims: &[usize], keepdim: bool) -> Var {
        self.numbers().reduce(ReduceKind::Sum, dims, keepdim)
    }

    /// Π over `dims`; 1 where there is no element. Integers stay, booleans count as `i32`.
    #[track_caller]
    pub fn prod(&self, dims: &[usize], keepdim: bool) -> Var {
        self.numbers().reduce(ReduceKind::Prod, dims, keepdim)
    }

    /// Booleans as `i32`, all else as it is.
    #[track_caller]
    pub(crate) fn numbers(&self) -> Var {
        if self.dtype() == DType::Bool { self.cast(DType::I32) } else { self.clone() }
    }

    /// Largest element over `dims`, any type; NaN where one is NaN; [`Error::Argument`] where there is none. The gradient
    /// is shared evenly among ties.
    #[track_caller]
    pub fn max(&self, dims: &[usize], keepdim: bool) -> Var {
        self.reduce(ReduceKind::Max, dims, keepdim)
    }

    /// Smallest element over `dims`; the rest as in [`Var::max`].
    #[track_caller]
    pub fn min(&self, dims: &[usize], keepdim: bool) -> Var {
        self.reduce(ReduceKind::Min, dims, keepdim)
    }

    /// Index (`u32`) of the first largest element along `dim`, of the first NaN if there is one; [`Error::Argument`] where
    /// there is no element.
    #[track_caller]
    pub fn argmax(&self, dim: usize, keepdim: bool) -> Var {
        self.reduce(ReduceKind::ArgMax, &[dim], keepdim)
    }

    /// Index (`u32`) of the first smallest element along `dim`; the rest as in [`Var::argmax`].
    #[track_caller]
    pub fn argmin(&self, dim: usize, keepdim: bool) -> Var {
        self.reduce(ReduceKind::ArgMin, &[dim], keepdim)
    }

    /// Whether an element over `dims` is true (of numbers: not 0); false where there is none.
    #[track_caller]
    pub fn any(&self, dims: &[usize], keepdim: bool) -> Var {
        self.truth().reduce(ReduceKind::Any, dims, keepdim)
    }

    /// Whether all elements over `dims` are true (of numbers: not 0); true where there is none.
    #[track_caller]
    pub fn all(&self, dims: &[usize], keepdim: bool) -> Var {
        self.truth().reduce(ReduceKind::All, dims, keepdim)
    }

    #[track_caller]
    fn truth(&self) -> Var {
        if self.dtype() == DType::Bool { self.clone() } else { self.cast(DType::Bool) }
    }
}
