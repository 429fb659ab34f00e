//! Reductions that are composed of others: mean, variance, log-sum-exp.

use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Var, no_grad};
use crate::ops::routine::check_dim;

impl Var {
    /// Checks a floating type and the dims; the number of elements that `dims` reduce.
    fn reduced(&self, op: &str, dims: &[usize]) -> Result<usize, Error> {
        if !self.dtype().is_float() {
            return Err(Error::dtype(op, "takes floating-point elements", &[self.dtype()]));
        }
        dims.iter().try_for_each(|&d| check_dim(op, self.shape(), d))?;
        Ok(dims.iter().map(|&d| self.shape()[d]).product())
    }

    /// This divided by numbers of elements (i32): in f32 for f16, which counts one by one to 2048 only and no further than 65504.
    #[track_caller]
    pub(crate) fn per_count(&self, count: &Var) -> Var {
        match self.in_f32(|x| x.per_count(count)) {
            Some(y) => y,
            None => self.div(&count.cast(self.dtype())),
        }
    }

    /// `f` of this value; of f16 computed in f32 and rounded once, since sums of f16 pass its largest number soon.
    #[track_caller]
    pub(crate) fn in_f32(&self, f: impl FnOnce(&Var) -> Var) -> Option<Var> {
        (self.0.error.is_none() && self.dtype() == DType::F16).then(|| f(&self.cast(DType::F32)).cast(DType::F16))
    }

    /// Σ / n over `dims`; NaN where there is no element. Floats only (else [`Error::DType`]).
    #[track_caller]
    pub fn mean(&self, dims: &[usize], keepdim: bool) -> Var {
        if let Some(y) = self.in_f32(|x| x.mean(dims, keepdim)) {
            return y;
        }
        match self.reduced("mean", dims) {
            Ok(n) => self.sum(dims, keepdim).div(&self.scalar_like(n as f64)),
            Err(error) => self.sum(dims, keepdim).fail(error),
        }
    }

    /// Variance over `dims`: Σ (x − mean)² / (n − correction), as `torch.var`. Floats only (else [`Error::DType`]).
    ///
    /// By the corrected two-pass algorithm (Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance"): with the mean m
    /// as it is rounded, Σ (x − m)² − (Σ (x − m))² / n, so that data far from 0 lose nothing.
    #[track_caller]
    pub fn var(&self, dims: &[usize], correction: f64, keepdim: bool) -> Var {
        if let Some(y) = self.in_f32(|x| x.var(dims, correction, keepdim)) {
            return y;
        }
        match self.reduced("var", dims) {
            Ok(n) => {
                // The formula holds for any m, so that no gradient has to go through it.
                let off = self.sub(&no_grad(|| self.mean(dims, true)));
                let rest = off.sum(dims, keepdim).square().div(&self.scalar_like(n as f64));
                let (squares, freedom) = (off.square().sum(dims, keepdim).sub(&rest), n as f64 - correction);
                // Rounding can carry it below 0 where all elements are equal. NaN stays NaN.
                let squares = squares.clamp_min(0.0);
                if freedom >= 0.0 {
                    return squares.div(&self.scalar_like(freedom));
                }
                // As in PyTorch, the value is that of no degree of freedom, the gradient that of the formula.
                let formula = squares.div(&self.scalar_like(freedom));
                &formula + squares.div(&self.scalar_like(0.0)).detach()
            }
            Err(error) => self.fail(error),
        }
    }

    /// Standard deviation over `dims`: the root of [`Var::var`]; its gradient is 0 where all elements are equal.
    #[track_caller]
    pub fn std(&self, dims: &[usize], correction: f64, keepdim: bool) -> Var {
        if let Some(y) = self.in_f32(|x| x.std(dims, correction, keepdim)) {
            return y;
        }
        let var = self.var(dims, correction, keepdim);
        if var.0.error.is_some() {
            return var;
        }
        var.away_from_zero(Var::sqrt)
    }

    /// `root` of a value that is not negative, 0 with gradient 0 at 0, where the slope of the root is infinite.
    fn away_from_zero(&self, root: impl FnOnce(&Var) -> Var) -> Var {
        let zero = self.eq(&self.scalar_like(0.0));
        zero.where_(&self.scalar_like(0.0), &root(&zero.where_(&self.scalar_like(1.0), self)))
    }

    /// The p-norm `(Σ |x|^p)^(1/p)` over `dims`; the largest or smallest `|x|` for p = ±∞, the number of elements other than 0
    /// for p = 0. The gradient at 0 is 0. Floats only (else [`Error::DType`]).
    #[track_caller]
    pub fn norm(&self, p: f64, dims: &[usize], keepdim: bool) -> Var {
        if let Some(y) = self.in_f32(|x| x.norm(p, dims, keepdim)) {
            return y;
        }
        if let Err(error) = self.reduced("norm", dims) {
            return self.fail(error);
        }
        if p.is_nan() {
            return self.fail(Error::argument("norm", "the order p is not a number"));
        }
        let size = self.abs();
        match p {
            f64::INFINITY => size.max(dims, keepdim),
            f64::NEG_INFINITY => size.min(dims, keepdim),
            // As 0, 1 or -1 the elements take part, with gradient 0. NaN counts.
            0.0 => self.is_nan().where_(&self.scalar_like(1.0), &self.sign().abs()).sum(dims, keepdim),
            1.0 => size.sum(dims, keepdim),
            2.0 => {
                let sum = self.square().sum(dims, keepdim);
                if sum.0.error.is_some() { sum } else { sum.away_from_zero(Var::sqrt) }
            }
            p => {
                let sum = size.away_from_zero(|x| x.powf(p)).sum(dims, keepdim);
                if sum.0.error.is_some() { sum } else { sum.away_from_zero(|x| x.powf(1.0 / p)) }
            }
        }
    }

    /// log Σ exp(x) over `dims`, computed as m + log Σ exp(x − m) with the largest element m, so that nothing overflows;
    /// −∞ where there is no element. Floats only (else [`Error::DType`]).
    #[track_caller]
    pub fn logsumexp(&self, dims: &[usize], keepdim: bool) -> Var {
        if let Some(y) = self.in_f32(|x| x.logsumexp(dims, keepdim)) {
            return y;
        }
        match self.reduced("logsumexp", dims) {
            Ok(0) => self.exp().sum(dims, keepdim).log(),
            Ok(_) => {
                // m only shifts the numbers, so no gradient goes through it. Infinite m would make ∞ − ∞.
                let limit = if self.dtype() == DType::F64 { f64::MAX } else { f64::from(f32::MAX) };
                let m = no_grad(|| {
                    let m = self.max(dims, true);
                    m.maximum(&m.scalar_like(-limit)).minimum(&m.scalar_like(limit))
                });
                let log = self.sub(&m).exp().sum(dims, true).log().add(&m);
                if keepdim {
                    return log;
                }
                // The same elements without the dims of size 1.
                let shape = (0..self.shape().rank()).filter(|d| !dims.contains(d)).map(|d| self.shape()[d]).collect();
                log.reshape(&shape)
            }
            Err(error) => self.fail(error),
        }
    }
}
