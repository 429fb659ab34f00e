//! Reductions that are composed of others: mean, variance, log-sum-exp.

use crate::dtype::DType;
use crate::error::Error;
use crate::graph::{Var, no_grad};
use crate::ops::routine::{check_dim, poisoned};

impl Var {
    /// Checks a floating type and the dims; the number of elements that `dims` reduce.
    fn reduced(&self, op: &str, dims: &[usize]) -> Result<usize, Error> {
        self.check()?;
        if !self.dtype().is_float() {
            return Err(Error::dtype(op, "takes floating-point elements", &[self.dtype()]));
        }
        dims.iter().try_for_each(|&d| check_dim(op, self.shape(), d))?;
        Ok(dims.iter().map(|&d| self.shape()[d]).product())
    }

    /// Σ / n over `dims`; NaN where there is no element. Floats only (else [`Error::DType`]).
    #[track_caller]
    pub fn mean(&self, dims: &[usize], keepdim: bool) -> Var {
        match self.reduced("mean", dims) {
            Ok(n) => self.sum(dims, keepdim).div(&self.scalar_like(n as f64)),
            Err(error) => self.fail(error),
        }
    }

    /// Variance over `dims`: Σ (x − mean)² / (n − correction), as `torch.var`. Floats only (else [`Error::DType`]).
    #[track_caller]
    pub fn var(&self, dims: &[usize], correction: f64, keepdim: bool) -> Var {
        match self.reduced("var", dims) {
            Ok(n) => {
                let off = self.sub(&self.mean(dims, true));
                let freedom = (n as f64 - correction).max(0.0);
                off.mul(&off).sum(dims, keepdim).div(&self.scalar_like(freedom))
            }
            Err(error) => self.fail(error),
        }
    }

    /// Standard deviation over `dims`: the root of [`Var::var`]; its gradient is 0 where all elements are equal.
    #[track_caller]
    pub fn std(&self, dims: &[usize], correction: f64, keepdim: bool) -> Var {
        let var = self.var(dims, correction, keepdim);
        if var.0.error.is_some() {
            return var;
        }
        // The root's slope is infinite at 0, so the root is kept away from there.
        let equal = var.eq(&var.scalar_like(0.0));
        equal.where_(&var.scalar_like(0.0), &equal.where_(&var.scalar_like(1.0), &var).sqrt())
    }

    /// log Σ exp(x) over `dims`, computed as m + log Σ exp(x − m) with the largest element m, so that nothing overflows;
    /// −∞ where there is no element. Floats only (else [`Error::DType`]).
    #[track_caller]
    pub fn logsumexp(&self, dims: &[usize], keepdim: bool) -> Var {
        if let Some(failed) = poisoned(&[self]) {
            return failed;
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
