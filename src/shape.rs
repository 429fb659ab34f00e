//! Tensor shapes and the rules that combine them.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

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
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// Number of elements; 1 for a scalar. Where it does not fit `usize`, the largest one.
    pub fn numel(&self) -> usize {
        match self.0.contains(&0) {
            true => 0,
            false => self.0.iter().fold(1, |p: usize, &n| p.saturating_mul(n)),
        }
    }

    /// Number of elements, where it fits 2⁴⁸; more than that no device holds, and sums of such numbers could overflow.
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
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The sizes as a mutable slice.
    pub fn dims_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }

    /// The shape without the dim at `index`.
    pub fn without(&self, index: usize) -> Shape {
        let mut out = self.clone();
        out.0.remove(index);
        out
    }

    /// The shape with a dim of `size` put before position `index`.
    pub fn with_inserted(&self, index: usize, size: usize) -> Shape {
        let mut out = self.clone();
        out.0.insert(index, size);
        out
    }

    /// Row-major strides, in elements.
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
