//! Parts of tensors along a dim: ranges, single elements.

use std::fmt;
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::panic::Location;

use crate::error::{Error, Result};
use crate::graph::Var;
use crate::tensor::Tensor;

/// A place along a dim: `usize`, `isize` or `i32`. Negative numbers count from the end: -1 is the last element.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::arange(0.0, 5.0, 1.0, &Device::cpu());
/// let first = 1usize;
/// assert_eq!((x.get(first).item::<f32>()?, x.get(-1).item::<f32>()?), (1.0, 4.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Position: Copy + fmt::Display {
    /// The number.
    #[doc(hidden)]
    fn number(self) -> i128;
}

macro_rules! positions {
    ($($t:ty),*) => {$(
        impl Position for $t {
            fn number(self) -> i128 {
                self as i128
            }
        }
    )*};
}
positions!(usize, isize, i32);

/// Ranges of places along a dim, of any form: `2..5`, `2..`, `..5`, `..=4`, `-3..`, `..-1`, `1..-1`, `..`. (Of literals such as `1..-1` Clippy
/// thinks that they are empty; a function that has them says `#[allow(clippy::reversed_empty_ranges)]`.)
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::arange(0.0, 5.0, 1.0, &Device::cpu());
/// assert_eq!(x.slice(0, ..2).to_vec::<f32>()?, [0.0, 1.0]);
/// assert_eq!(x.slice(0, -2..).to_vec::<f32>()?, [3.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Positions {
    /// The two ends.
    #[doc(hidden)]
    fn ends(&self) -> (Bound<i128>, Bound<i128>);
}

macro_rules! ranges {
    ($($range:ident: |$r:ident| $start:expr, $end:expr;)*) => {$(
        impl<P: Position> Positions for $range<P> {
            fn ends(&self) -> (Bound<i128>, Bound<i128>) {
                let $r = self;
                ($start, $end)
            }
        }
    )*};
}
ranges! {
    Range: |r| Bound::Included(r.start.number()), Bound::Excluded(r.end.number());
    RangeFrom: |r| Bound::Included(r.start.number()), Bound::Unbounded;
    RangeTo: |r| Bound::Unbounded, Bound::Excluded(r.end.number());
    RangeInclusive: |r| Bound::Included(r.start().number()), Bound::Included(r.end().number());
    RangeToInclusive: |r| Bound::Unbounded, Bound::Included(r.end.number());
}

impl Positions for RangeFull {
    fn ends(&self) -> (Bound<i128>, Bound<i128>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

/// The range as written.
fn shown(ends: (Bound<i128>, Bound<i128>)) -> String {
    let number = |n: i128| n.to_string();
    let start = match ends.0 {
        Bound::Included(n) | Bound::Excluded(n) => number(n),
        Bound::Unbounded => String::new(),
    };
    let end = match ends.1 {
        Bound::Included(n) => format!("={n}"),
        Bound::Excluded(n) => number(n),
        Bound::Unbounded => String::new(),
    };
    format!("{start}..{end}")
}

/// `range` within `size` places; `None` where it is not.
fn resolve(ends: (Bound<i128>, Bound<i128>), size: usize) -> Option<Range<usize>> {
    let size = size as i128;
    let from_end = |n: i128| if n < 0 { n + size } else { n };
    let start = match ends.0 {
        Bound::Included(n) | Bound::Excluded(n) => from_end(n),
        Bound::Unbounded => 0,
    };
    let end = match ends.1 {
        Bound::Included(n) => from_end(n) + 1,
        Bound::Excluded(n) => from_end(n),
        Bound::Unbounded => size,
    };
    (0 <= start && start <= end && end <= size).then_some(start as usize..end as usize)
}

/// Every `step`-th element of `range` along `dim`.
pub(super) fn slice(v: &Var, op: &str, dim: isize, range: &impl Positions, step: usize) -> Result<Var> {
    let d = v.shape().dim(op, dim)?;
    match resolve(range.ends(), v.shape()[d]).filter(|_| step > 0) {
        Some(range) => Ok(v.slice(d, range.start, step as isize, range.len().div_ceil(step))),
        None => {
            let range = shown(range.ends());
            let detail = format!("{range} by {step} is not within dim {dim} of size {}", v.shape()[d]);
            Err(Error::shape(op, detail, &[v.shape()]))
        }
    }
}

/// The element at `index` along `dim`, which goes away.
fn select(v: &Var, op: &str, dim: isize, index: impl Position) -> Result<Var> {
    let d = v.shape().dim(op, dim)?;
    let size = v.shape()[d] as i128;
    let resolved = if index.number() < 0 { index.number() + size } else { index.number() };
    if !(0..size).contains(&resolved) {
        let detail = format!("index {index} is out of range for dim {dim} of shape {}", v.shape());
        return Err(Error::argument(op, detail));
    }
    Ok(v.select(d, resolved as usize))
}

impl Tensor {
    /// Elements `range` along `dim`, without a copy. Negative ends count from the end, as in Python; a range that reaches out of the dim is
    /// an error.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 10.0, 1.0, &Device::default());
    /// assert_eq!(x.slice(0, 2..5).to_vec::<f32>()?, [2.0, 3.0, 4.0]);
    /// assert_eq!(x.slice(-1, 7..).to_vec::<f32>()?, [7.0, 8.0, 9.0]);
    /// assert_eq!(x.slice(0, ..-8).to_vec::<f32>()?, [0.0, 1.0]);
    /// assert!(x.slice(0, 2..50).check().is_err());
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn slice(&self, dim: isize, range: impl Positions) -> Tensor {
        self.build(Location::caller(), |v| slice(v, "slice", dim, &range, 1))
    }

    /// Every `step`-th element of `range` along `dim`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 10.0, 1.0, &Device::cpu());
    /// assert_eq!(x.slice_step(0, 1..8, 3).to_vec::<f32>()?, [1.0, 4.0, 7.0]);
    /// assert_eq!(x.slice_step(0, .., 4).to_vec::<f32>()?, [0.0, 4.0, 8.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn slice_step(&self, dim: isize, range: impl Positions, step: usize) -> Tensor {
        self.build(Location::caller(), |v| slice(v, "slice_step", dim, &range, step))
    }

    /// `len` elements from `start` along `dim`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 10.0, 1.0, &Device::cpu());
    /// assert_eq!(x.narrow(0, 4, 2).to_vec::<f32>()?, [4.0, 5.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn narrow(&self, dim: isize, start: usize, len: usize) -> Tensor {
        self.build(Location::caller(), |v| slice(v, "narrow", dim, &(start..start.saturating_add(len)), 1))
    }

    /// The elements at `index` (negative counts from the end) along `dim`, which goes away.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 6.0, 1.0, &Device::cpu()).reshape([2, 3]);
    /// assert_eq!(x.select(0, -1).to_vec::<f32>()?, [3.0, 4.0, 5.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn select(&self, dim: isize, index: impl Position) -> Tensor {
        self.build(Location::caller(), |v| select(v, "select", dim, index))
    }

    /// The element, row, … at `index` (negative counts from the end) along the first dim, which goes away: `x[i]` of PyTorch.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 6.0, 1.0, &Device::cpu()).reshape([2, 3]);
    /// assert_eq!(x.get(1).to_vec::<f32>()?, [3.0, 4.0, 5.0]);
    /// assert_eq!(x.get(0).get(-1).item::<f32>()?, 2.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn get(&self, index: impl Position) -> Tensor {
        self.build(Location::caller(), |v| match v.shape().rank() {
            0 => Err(Error::argument("get", format!("index {index} of a scalar, which has no dim; read it by `item`"))),
            _ => select(v, "get", 0, index),
        })
    }
}
