//! What may fail with shapes: dims that count from the end, and broadcasting.

use crate::error::{Error, Result};
use crate::shape::Shape;

impl Shape {
    /// Resolves a dim that may count from the end into `0..rank`.
    ///
    /// # Errors
    /// [`Error::Argument`] where `dim` lies outside `-rank..rank`.
    pub fn dim(&self, op: &str, dim: isize) -> Result<usize> {
        let rank = self.rank() as isize;
        let resolved = if dim < 0 { dim + rank } else { dim };
        if (0..rank).contains(&resolved) {
            Ok(resolved as usize)
        } else {
            Err(Error::argument(op, format!("dim {dim} is out of range for shape {self} of rank {rank}")))
        }
    }

    /// [`Shape::dim`], for which a scalar counts as of one dim.
    pub(crate) fn dim_of_at_least_one(&self, op: &str, dim: isize) -> Result<usize> {
        if self.rank() == 0 && (-1..=0).contains(&dim) { Ok(0) } else { self.dim(op, dim) }
    }

    /// Resolves several dims, each at most once, into ascending order.
    ///
    /// # Errors
    /// [`Error::Argument`] where one is out of range or given twice.
    pub fn dims_sorted(&self, op: &str, dims: &[isize]) -> Result<Vec<usize>> {
        let mut out = dims.iter().map(|&d| self.dim(op, d)).collect::<Result<Vec<_>>>()?;
        out.sort_unstable();
        if out.windows(2).any(|w| w[0] == w[1]) {
            return Err(Error::argument(op, format!("dims {dims:?} name one dim twice in shape {self}")));
        }
        Ok(out)
    }

    /// The common shape of two operands under NumPy's broadcasting rules.
    ///
    /// # Errors
    /// [`Error::Shape`] where a dim differs and neither side is 1.
    pub fn broadcast(&self, op: &str, other: &Shape) -> Result<Shape> {
        let rank = self.rank().max(other.rank());
        let mut out = vec![1; rank];
        for (i, slot) in out.iter_mut().enumerate() {
            let side = |s: &Shape| (i + s.rank()).checked_sub(rank).map_or(1, |j| s[j]);
            let (a, b) = (side(self), side(other));
            *slot = match (a, b) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => {
                    let detail = format!("sizes {a} and {b} at dim {i} do not broadcast");
                    return Err(Error::shape(op, detail, &[self, other]));
                }
            };
        }
        Ok(Shape::from(out))
    }
}
