//! Tensor shapes and the rules that combine them.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::error::{Error, Result};

/// The size of a tensor along each dim, outermost first. A scalar has no dims.
///
/// ```
/// use wgrad::Shape;
/// let shape = Shape::from([2, 3]);
/// assert_eq!((shape.rank(), shape.numel()), (2, 6));
/// assert_eq!(shape.broadcast("add", &Shape::from([4, 1, 3]))?, Shape::from([4, 2, 3]));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Shape {
    /// The shape of a scalar.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!((Shape::scalar().rank(), Shape::scalar().numel()), (0, 1));
    /// ```
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// Number of elements; 1 for a scalar. Where it does not fit `usize`, the largest one.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3]).numel(), 6);
    /// ```
    pub fn numel(&self) -> usize {
        match self.0.contains(&0) {
            true => 0,
            false => self.0.iter().fold(1, |p: usize, &n| p.saturating_mul(n)),
        }
    }

    /// Number of elements, where it fits 2⁴⁸; more than that no device holds, and sums of such numbers could overflow.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3]).checked_numel(), Some(6));
    /// assert_eq!(Shape::from([usize::MAX, 2]).checked_numel(), None);
    /// ```
    pub fn checked_numel(&self) -> Option<usize> {
        // Far more than any tensor has; on 32 bits, as in browsers, what a buffer can hold at most.
        const MOST: usize = 1 << if usize::BITS == 64 { 48 } else { 30 };
        let fits = |n: &usize| *n <= MOST;
        // A size of 0 makes everything empty, however large the other sizes are; they must still be sizes.
        let nonzero = self.0.iter().filter(|&&n| n != 0);
        let product = nonzero.clone().try_fold(1usize, |p, &n| p.checked_mul(n).filter(fits))?;
        Some(if self.0.contains(&0) { 0 } else { product })
    }

    /// Number of dims.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3]).rank(), 2);
    /// ```
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The sizes as a mutable slice.
    ///
    /// ```
    /// use wgrad::Shape;
    /// let mut shape = Shape::from([2, 3]);
    /// shape.dims_mut()[1] = 1;
    /// assert_eq!(shape, Shape::from([2, 1]));
    /// ```
    pub fn dims_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }

    /// The shape without the dim at `index`.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3]).without(0), Shape::from([3]));
    /// ```
    pub fn without(&self, index: usize) -> Shape {
        let mut out = self.clone();
        out.0.remove(index);
        out
    }

    /// The shape with a dim of `size` put before position `index`.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3]).with_inserted(1, 1), Shape::from([2, 1, 3]));
    /// ```
    pub fn with_inserted(&self, index: usize, size: usize) -> Shape {
        let mut out = self.clone();
        out.0.insert(index, size);
        out
    }

    /// Resolves a dim that may count from the end into `0..rank`.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3]).dim("sum", -1)?, 1);
    /// assert!(Shape::from([2, 3]).dim("sum", 2).is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
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
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(Shape::from([2, 3, 4]).dims_sorted("sum", &[-1, 0])?, [0, 2]);
    /// assert!(Shape::from([2, 3, 4]).dims_sorted("sum", &[-1, 2]).is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
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
    /// ```
    /// use wgrad::Shape;
    /// let column = Shape::from([3, 1]);
    /// assert_eq!(column.broadcast("add", &Shape::from([4]))?, Shape::from([3, 4]));
    /// assert!(column.broadcast("add", &Shape::from([2, 4])).is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] where a dim differs and neither side is 1.
    pub fn broadcast(&self, op: &str, other: &Shape) -> Result<Shape> {
        let rank = self.rank().max(other.rank());
        let mut out: SmallVec<[usize; 6]> = SmallVec::from_elem(1, rank);
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
        Ok(Shape(out))
    }

    /// Row-major strides, in elements.
    ///
    /// ```
    /// use wgrad::Shape;
    /// assert_eq!(&Shape::from([2, 3, 4]).strides()[..], &[12, 4, 1]);
    /// ```
    pub fn strides(&self) -> SmallVec<[isize; 6]> {
        let mut strides = SmallVec::from_elem(1, self.rank());
        for i in (0..self.rank().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * self[i + 1].max(1) as isize;
        }
        strides
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0[..])
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Shape {
        Shape(iter.into_iter().collect())
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}
impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Shape {
        Shape(SmallVec::from_slice(dims))
    }
}
impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Shape {
        Shape(SmallVec::from_vec(dims))
    }
}
impl From<&Vec<usize>> for Shape {
    fn from(dims: &Vec<usize>) -> Shape {
        Shape(SmallVec::from_slice(dims))
    }
}
impl From<usize> for Shape {
    fn from(len: usize) -> Shape {
        Shape(SmallVec::from_slice(&[len]))
    }
}
impl From<()> for Shape {
    fn from((): ()) -> Shape {
        Shape::scalar()
    }
}
impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        Shape(SmallVec::from_slice(&dims))
    }
}
impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Shape {
        Shape(SmallVec::from_slice(dims))
    }
}
macro_rules! tuple_shape {
    ($($name:ident: $index:tt),*) => {
        impl From<($(tuple_shape!(@usize $name),)*)> for Shape {
            fn from(dims: ($(tuple_shape!(@usize $name),)*)) -> Shape {
                Shape(SmallVec::from_slice(&[$(dims.$index),*]))
            }
        }
    };
    (@usize $name:ident) => { usize };
}
tuple_shape!(a: 0);
tuple_shape!(a: 0, b: 1);
tuple_shape!(a: 0, b: 1, c: 2);
tuple_shape!(a: 0, b: 1, c: 2, d: 3);
tuple_shape!(a: 0, b: 1, c: 2, d: 3, e: 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let broadcast = |a: &[usize], b: &[usize]| Shape::from(a).broadcast("add", &Shape::from(b));
        assert_eq!(&*broadcast(&[3, 1], &[4]).unwrap(), &[3, 4]);
        assert_eq!(&*broadcast(&[0, 1], &[1, 5]).unwrap(), &[0, 5]);
        assert_eq!(&*broadcast(&[], &[2]).unwrap(), &[2]);
        let text = broadcast(&[3], &[4]).unwrap_err().to_string();
        assert!(text.contains("add") && text.contains("[3] and [4]"), "{text}");
    }

    #[test]
    fn dims_count_from_either_end() {
        let shape = Shape::from([2, 3, 4]);
        assert_eq!(shape.dim("sum", -1).unwrap(), 2);
        assert!(shape.dim("sum", 3).is_err() && shape.dim("sum", -4).is_err());
        assert!(shape.dims_sorted("sum", &[0, -3]).is_err());
        assert_eq!(&shape.strides()[..], &[12, 4, 1]);
    }
}
