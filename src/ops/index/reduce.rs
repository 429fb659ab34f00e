//! What is scattered to a place put together there: products, extremes, means, beside the sums of `scatter.rs`.

use super::update::check_scatter;
use super::{checked, expect_index, with_dim};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::Kernel;
use crate::graph::{IndexCheck, Meta, Op, Var, Vjp};
use crate::ops::routine::{around, poisoned};

pub(super) const NAME: &str = "scatter_reduce";

/// How [`crate::Tensor::scatter_reduce`] puts values for one place together.
///
/// ```
/// use wgrad::{Device, ScatterReduction, Tensor};
/// let device = Device::cpu();
/// let (x, index) = (Tensor::zeros([2], &device), Tensor::from_slice(&[0i64, 1, 0], [3], &device));
/// let source = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &device);
/// let means = x.scatter_reduce(0, &index, &source, ScatterReduction::Mean, false);
/// assert_eq!(means.to_vec::<f32>()?, [2.0, 2.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterReduction {
    /// Their sum.
    Sum,
    /// Their mean; of integers rounded down.
    Mean,
    /// The largest; NaN where there is one.
    Amax,
    /// The smallest; NaN where there is one.
    Amin,
    /// Their product.
    Prod,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ScatterKind {
    Product,
    Largest,
    Smallest,
}

/// What both the places hold and what is scattered to them make; inputs are the places, the source `[outer, len, inner]` and as many indices.
/// Without `include_self` a place keeps what it holds only where nothing is scattered to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ScatterReduce {
    pub dim: usize,
    kind: ScatterKind,
    include_self: bool,
}

impl ScatterReduce {
    /// Constants of the kernels.
    pub fn consts(&self) -> [(&'static str, u32); 2] {
        let kind = match self.kind {
            ScatterKind::Product => 0,
            ScatterKind::Largest => 1,
            ScatterKind::Smallest => 2,
        };
        [("REDUCTION", kind), ("INCLUDE_SELF", u32::from(self.include_self))]
    }

    /// Two values as one.
    fn both(&self, a: f64, b: f64, dtype: DType) -> f64 {
        match self.kind {
            ScatterKind::Product if dtype.is_int() => {
                // Integers wrap; two's complement products of either type have the same bits.
                let bits = (a as i64 as u32).wrapping_mul(b as i64 as u32);
                if dtype == DType::U32 { f64::from(bits) } else { f64::from(bits as i32) }
            }
            ScatterKind::Product => a * b,
            _ if a.is_nan() || b.is_nan() => f64::NAN,
            ScatterKind::Largest => a.max(b),
            ScatterKind::Smallest => a.min(b),
        }
    }
}

impl Op for ScatterReduce {
    fn name(&self) -> &str {
        NAME
    }

    fn checks_indices(&self) -> bool {
        true
    }

    fn index_check(&self, inputs: &[&Meta]) -> Option<IndexCheck> {
        Some(IndexCheck { input: 2, bound: inputs[0].shape[self.dim] as u64, ignored: None })
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let (own, x, index) = (inputs[0], inputs[1], inputs[2]);
        expect_index(NAME, index)?;
        if own.dtype == DType::Bool {
            return Err(Error::dtype(NAME, "takes numbers; cast booleans first", &[own.dtype]));
        }
        let fits = x.shape == index.shape && with_dim(&x.shape, self.dim, own.shape[self.dim]) == own.shape;
        match fits {
            true => Ok(own.clone()),
            false => Err(Error::shape(NAME, "source and index must match", &[&own.shape, &x.shape, &index.shape])),
        }
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        Kernel::Routine(Box::new(*self))
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let (from, to) = (around(&inputs[1].shape(), self.dim), around(&output.shape, self.dim));
        let index = checked(NAME, inputs[2], to.size)?;
        let mut y = inputs[0].to_f64();
        let mut keeps = vec![self.include_self; y.len()];
        for ((p, k), value) in index.into_iter().enumerate().zip(inputs[1].to_f64()) {
            let place = (p / from.inner / from.size * to.size + k) * to.inner + p % from.inner;
            y[place] = if keeps[place] { self.both(y[place], value, output.dtype) } else { value };
            keeps[place] = true;
        }
        Ok(Array::from_vec(&output.shape, y).cast(output.dtype))
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let [own, x, index] = [&cx.inputs[0], &cx.inputs[1], &cx.inputs[2]];
        let (dim, y, dy) = (self.dim, cx.output, cx.dy);
        let again = |own: &Var, x: &Var| Var::apply(*self, &[own, x, index]);
        let zero = dy.scalar_like(0.0);
        let counts = |mask: &Var| {
            let none = Var::scalar(0.0, DType::I32, &own.0.context).expand(own.shape());
            none.scatter_add(dim, index, &mask.cast(DType::I32))
        };
        // Where what places hold does not count.
        let replaced = (!self.include_self).then(|| {
            let scattered = counts(&x.scalar_like(1.0).expand(x.shape()));
            scattered.gt(&scattered.scalar_like(0.0))
        });
        let (of_own, of_x) = match self.kind {
            ScatterKind::Product => {
                let of_own = cx.needs[0].then(|| {
                    let one = own.scalar_like(1.0).expand(own.shape());
                    let of_own = dy * again(&one, x);
                    replaced.as_ref().map_or(of_own.clone(), |replaced| replaced.where_(&zero, &of_own))
                });
                let of_x = cx.needs[1].then(|| {
                    // The product of all others is the whole by x, but where x is the only zero.
                    let none = x.eq(&x.scalar_like(0.0));
                    let one = x.scalar_like(1.0);
                    let zeros = counts(&none).gather(dim, index);
                    let alone = none.logical_and(&zeros.eq(&zeros.scalar_like(1.0)));
                    let others = (dy * again(own, &alone.where_(&one, x))).gather(dim, index);
                    let by_x = (dy * y).gather(dim, index) / none.where_(&one, x);
                    alone.where_(&others, &by_x)
                });
                (of_own, of_x)
            }
            // Ties share the gradient evenly.
            ScatterKind::Largest | ScatterKind::Smallest => {
                let by_x = x.eq(&y.gather(dim, index));
                let by_own = replaced.map_or_else(|| own.eq(y), |replaced| replaced.logical_not());
                let share = dy.per_count(&(counts(&by_x) + by_own.cast(DType::I32)));
                let of_own = cx.needs[0].then(|| by_own.where_(&share, &zero));
                let of_x = cx.needs[1].then(|| by_x.where_(&share.gather(dim, index), &zero));
                (of_own, of_x)
            }
        };
        Ok(vec![of_own, of_x, None])
    }
}

impl Var {
    /// This value with the elements of `source` put together with it at the given indices along `dim`. Shapes as in [`Var::scatter_add`].
    /// Without `include_self` what this value holds at places that indices name does not count.
    #[track_caller]
    pub fn scatter_reduce(
        &self,
        dim: usize,
        index: &Var,
        source: &Var,
        reduction: ScatterReduction,
        include_self: bool,
    ) -> Var {
        if let Some(failed) = poisoned(&[self, index, source]) {
            return failed;
        }
        if [self, index, source].iter().any(|v| v.shape().rank() == 0) {
            let [x, i, s] = [self, index, source].map(Var::at_least_1d);
            // One dim each, so what they made fits.
            return x.scatter_reduce(dim, &i, &s, reduction, include_self).reshape_as(self.shape());
        }
        if let Err(error) = check_scatter(NAME, self, dim, index, source) {
            return self.fail(error);
        }
        if self.dtype() == DType::Bool {
            return self.fail(Error::dtype(NAME, "takes numbers; cast booleans first", &[self.dtype()]));
        }
        let source = source.corner(index.shape());
        let kind = match reduction {
            ScatterReduction::Sum => return self.beside(dim, index, include_self).scatter_add(dim, index, &source),
            ScatterReduction::Mean => {
                let mean = |x: &Var, source: &Var| x.scatter_mean(dim, index, source, include_self);
                // Sums of f16 pass its largest number soon.
                let wide = self.in_f32(|x| mean(x, &source.cast(DType::F32)));
                return wide.unwrap_or_else(|| mean(self, &source));
            }
            ScatterReduction::Amax => ScatterKind::Largest,
            ScatterReduction::Amin => ScatterKind::Smallest,
            ScatterReduction::Prod => ScatterKind::Product,
        };
        if index.meta().numel() == 0 {
            return self.untouched(&source);
        }
        let covered = with_dim(index.shape(), dim, self.shape()[dim]);
        let op = ScatterReduce { dim, kind, include_self };
        if covered == *self.shape() {
            return Var::apply(op, &[self, &source, index]);
        }
        let part = Var::apply(op, &[&self.corner(&covered), &source, index]);
        self.with_corner(dim, &covered, &part)
    }

    /// This value, or zeros where an index names a place and what it holds does not count.
    fn beside(&self, dim: usize, index: &Var, include_self: bool) -> Var {
        let zeros = || self.scalar_like(0.0).expand(index.shape());
        if include_self { self.clone() } else { self.scatter(dim, index, &zeros()) }
    }

    fn scatter_mean(&self, dim: usize, index: &Var, source: &Var, include_self: bool) -> Var {
        let sum = self.beside(dim, index, include_self).scatter_add(dim, index, source);
        let of = |shape, value: f64| Var::scalar(value, DType::I32, &self.0.context).expand(shape);
        let count =
            of(self.shape(), f64::from(u8::from(include_self))).scatter_add(dim, index, &of(index.shape(), 1.0));
        let count = count.maximum(&count.scalar_like(1.0));
        if sum.dtype().is_float() { sum.per_count(&count) } else { sum.floor_divide(&count.cast(sum.dtype())) }
    }
}
