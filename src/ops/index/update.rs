//! Values with some places changed: what is scattered, added or filled at indices.

use super::scatter::{LastWriter, ScatterSum};
use super::{expect_index, with_dim};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Var;
use crate::ops::routine::{check_dim, poisoned};
use crate::shape::Shape;

impl Var {
    /// This value with `source` added at the given indices along `dim`, in their order. In no dim is `index` larger than
    /// `source`, nor than this value in any dim but `dim`.
    #[track_caller]
    pub fn scatter_add(&self, dim: usize, index: &Var, source: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index, source]) {
            return failed;
        }
        if [self, index, source].iter().any(|v| v.shape().rank() == 0) {
            let [x, i, s] = [self, index, source].map(Var::at_least_1d);
            // One dim each, so what they made fits.
            return x.scatter_add(dim, &i, &s).reshape_as(self.shape());
        }
        if let Err(error) = check_scatter("scatter_add", self, dim, index, source) {
            return self.fail(error);
        }
        let source = source.corner(index.shape());
        let (index, source) = (self.widen(dim, index), self.widen(dim, &source));
        let sums = Var::apply(ScatterSum { dim, size: self.shape()[dim] }, &[&source, &index]);
        self.add(&sums)
    }

    /// This value with the elements at the given indices along `dim` replaced by `source`; the last of several wins. Shapes as
    /// in [`Var::scatter_add`].
    #[track_caller]
    pub fn scatter(&self, dim: usize, index: &Var, source: &Var) -> Var {
        if let Some(failed) = poisoned(&[self, index, source]) {
            return failed;
        }
        if [self, index, source].iter().any(|v| v.shape().rank() == 0) {
            let [x, i, s] = [self, index, source].map(Var::at_least_1d);
            // One dim each, so what they made fits.
            return x.scatter(dim, &i, &s).reshape_as(self.shape());
        }
        if let Err(error) = check_scatter("scatter", self, dim, index, source) {
            return self.fail(error);
        }
        if index.meta().numel() == 0 {
            return self.untouched(&source.corner(index.shape()));
        }
        let covered = with_dim(index.shape(), dim, self.shape()[dim]);
        if covered != *self.shape() {
            // Only a corner is written to.
            return self.with_corner(dim, &covered, &self.corner(&covered).scatter(dim, index, source));
        }
        let source = source.corner(index.shape());
        let last = Var::apply(LastWriter { dim, size: self.shape()[dim] }, &[index]);
        let written = last.gt(&last.scalar_like(0.0));
        let from = last.maximum(&last.scalar_like(1.0)).sub(&last.scalar_like(1.0));
        written.where_(&source.gather(dim, &from), self)
    }

    /// This value, where `source` has no elements.
    pub(super) fn untouched(&self, source: &Var) -> Var {
        // The source takes part all the same: its gradient is 0. The sum of no elements is 0.
        let nothing = || source.sum(&(0..source.shape().rank()).collect::<Vec<_>>(), false);
        if source.0.tracked { self.add(&nothing()) } else { self.clone() }
    }

    /// This value with `part` in place of its corner of the shape `covered`, which is smaller in no dim but others than `dim`.
    pub(super) fn with_corner(&self, dim: usize, covered: &Shape, part: &Var) -> Var {
        let inside = self.scalar_like(1.0).cast(DType::Bool).expand(covered);
        let (inside, part) = (self.widen(dim, &inside), self.widen(dim, part));
        inside.where_(&part, self)
    }

    /// The first elements along each dim, as many as `shape` has.
    pub(super) fn corner(&self, shape: &Shape) -> Var {
        (0..shape.rank()).fold(self.clone(), |v, d| v.slice(d, 0, 1, shape[d]))
    }

    /// Pads indices or sources with zeros up to this value's size in all dims but `dim`: adding zero changes nothing.
    fn widen(&self, dim: usize, part: &Var) -> Var {
        let short = |d: usize| if d == dim { 0 } else { self.shape()[d] - part.shape()[d] };
        let padding: Vec<(usize, usize)> = (0..self.shape().rank()).map(|d| (0, short(d))).collect();
        if padding.iter().all(|p| p.1 == 0) { part.clone() } else { part.pad(&padding, 0.0) }
    }

    /// This value with the slices of `source` added at the given indices (rank 1) along `dim`, in their order.
    #[track_caller]
    pub fn index_add(&self, dim: usize, index: &Var, source: &Var) -> Var {
        match self.slices_at("index_add", dim, index, source) {
            Ok((x, index, source)) => x.scatter_add(dim, &index, &source).reshape_as(self.shape()),
            Err(error) => self.fail(error),
        }
    }

    /// This value with the slices at the given indices (rank 1) along `dim` replaced by those of `source`; the last of several
    /// wins.
    #[track_caller]
    pub fn index_copy(&self, dim: usize, index: &Var, source: &Var) -> Var {
        match self.slices_at("index_copy", dim, index, source) {
            Ok((x, index, source)) => x.scatter(dim, &index, &source).reshape_as(self.shape()),
            Err(error) => self.fail(error),
        }
    }

    /// This value with the slices at the given indices (rank 1) along `dim` filled with `value`.
    #[track_caller]
    pub fn index_fill(&self, dim: usize, index: &Var, value: f64) -> Var {
        if let Some(failed) = poisoned(&[self, index]) {
            return failed;
        }
        let x = self.at_least_1d();
        if let Err(error) = check_dim("index_fill", x.shape(), dim) {
            return self.fail(error);
        }
        let len = index.shape().first().copied().unwrap_or(1);
        let source = self.scalar_like(value).expand(&with_dim(x.shape(), dim, len));
        match x.slices_at("index_fill", dim, index, &source) {
            Ok((x, index, source)) => x.scatter(dim, &index, &source).reshape_as(self.shape()),
            Err(error) => self.fail(error),
        }
    }

    /// Checks indices of slices, and expands them to the shape of the slices. Scalars become vectors of one element.
    fn slices_at(&self, op: &str, dim: usize, index: &Var, source: &Var) -> Result<(Var, Var, Var)> {
        for v in [self, index, source] {
            v.check()?;
        }
        if [self, index].iter().any(|v| v.shape().rank() == 0) {
            return self.at_least_1d().slices_at(op, dim, &index.at_least_1d(), &source.at_least_1d());
        }
        check_dim(op, self.shape(), dim)?;
        expect_index(op, index.meta())?;
        if index.shape().rank() != 1 {
            return Err(Error::shape(op, "the index must have one dim", &[self.shape(), index.shape()]));
        }
        let full = with_dim(self.shape(), dim, index.shape()[0]);
        if *source.shape() != full {
            let detail = format!("the source must have shape {full}, a slice for each index along dim {dim}");
            return Err(Error::shape(op, detail, &[self.shape(), index.shape(), source.shape()]));
        }
        let along: Shape = (0..full.rank()).map(|d| if d == dim { full[d] } else { 1 }).collect();
        Ok((self.clone(), index.reshape(&along).expand(&full), source.clone()))
    }

    /// How often each of `0..bins` occurs among these indices (any shape), as i32; with `weights` (of this shape) their sums.
    /// An index out of range is reported when the result is read.
    #[track_caller]
    pub fn bincount(&self, weights: Option<&Var>, bins: usize) -> Var {
        if let Some(failed) = poisoned(&[self]) {
            return failed;
        }
        let flat = Shape::from([self.shape().numel()]);
        let one = Var::scalar(1.0, DType::I32, &self.0.context).expand(self.shape());
        let weights = weights.cloned().unwrap_or(one);
        if weights.0.error.is_none() && weights.shape() != self.shape() {
            let detail = "weights must have the shape of the indices";
            return self.fail(Error::shape("bincount", detail, &[self.shape(), weights.shape()]));
        }
        let weights = weights.numbers();
        let zeros = weights.scalar_like(0.0).expand(&Shape::from([bins]));
        zeros.index_add(0, &self.reshape(&flat), &weights.reshape(&flat))
    }
}

pub(super) fn check_scatter(op: &str, x: &Var, dim: usize, index: &Var, source: &Var) -> Result<()> {
    check_dim(op, x.shape(), dim)?;
    expect_index(op, index.meta())?;
    if x.dtype() != source.dtype() {
        return Err(Error::dtype(op, "tensor and source must have one type", &[x.dtype(), source.dtype()]));
    }
    let rank = x.shape().rank();
    let fits = index.shape().rank() == rank
        && source.shape().rank() == rank
        && (0..rank).all(|d| index.shape()[d] <= source.shape()[d] && (d == dim || index.shape()[d] <= x.shape()[d]));
    if fits && x.shape()[dim] == 0 && index.meta().numel() > 0 {
        // The kernel runs once for each element, so here it could not report what it finds.
        return Err(Error::shape(op, format!("no index fits in dim {dim} of size 0"), &[x.shape(), index.shape()]));
    }
    match fits {
        true => Ok(()),
        false => {
            let detail = "all must have the tensor's rank, and the index may be larger in no dim than the source, nor than the \
                          tensor in any dim but the chosen one";
            Err(Error::shape(op, detail, &[x.shape(), index.shape(), source.shape()]))
        }
    }
}
