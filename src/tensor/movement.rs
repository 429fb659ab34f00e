//! Views (no copies) and other movement of elements.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::graph::{Var, with_location};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::tensor::slicing::slice;

impl Tensor {
    /// The same elements in row-major order under another shape; one size may be -1 and is worked out.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 6], &Device::default());
    /// assert_eq!(x.reshape([3, -1]).shape(), [3, 4]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl Sizes) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.reshape(&infer_sizes("reshape", v.shape(), &shape.sizes())?)))
    }

    /// Merges the dims `from..=to` into one.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3, 4], &Device::cpu());
    /// assert_eq!(x.flatten(1, -1).shape(), [2, 12]);
    /// ```
    #[track_caller]
    pub fn flatten(&self, from: isize, to: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let shape = v.shape();
            if shape.rank() == 0 {
                return Ok(v.reshape(&Shape::from([1])));
            }
            let (from, to) = (shape.dim("flatten", from)?, shape.dim("flatten", to)?);
            if from > to {
                return Err(Error::argument("flatten", format!("dim {from} comes after dim {to} in shape {shape}")));
            }
            let merged: usize = shape[from..=to].iter().product();
            let sizes = shape[..from].iter().copied().chain([merged]).chain(shape[to + 1..].iter().copied());
            Ok(v.reshape(&sizes.collect()))
        })
    }

    /// Removes a dim of size 1; a dim of another size stays, as in PyTorch.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 1, 3], &Device::cpu());
    /// assert_eq!(x.squeeze(1).shape(), [2, 3]);
    /// assert_eq!(x.squeeze(0).shape(), [2, 1, 3]);
    /// ```
    #[track_caller]
    pub fn squeeze(&self, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let d = v.shape().dim_of_at_least_one("squeeze", dim)?;
            Ok(if v.shape().rank() == 0 { v.clone() } else { v.squeeze(d) })
        })
    }

    /// Puts a dim of size 1 at position `dim` of the new shape.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.unsqueeze(0).shape(), [1, 2, 3]);
    /// assert_eq!(x.unsqueeze(-1).shape(), [2, 3, 1]);
    /// ```
    #[track_caller]
    pub fn unsqueeze(&self, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let rank = v.shape().rank() as isize;
            if !(-rank - 1..=rank).contains(&dim) {
                return Err(Error::argument("unsqueeze", format!("dim {dim} is out of range for shape {}", v.shape())));
            }
            let position = if dim < 0 { dim + rank + 1 } else { dim };
            Ok(v.reshape(&v.shape().with_inserted(position as usize, 1)))
        })
    }

    /// Reorders the dims: dim `i` of the result is dim `order[i]` of this tensor.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3, 4], &Device::default());
    /// assert_eq!(x.permute(&[2, 0, 1]).shape(), [4, 2, 3]);
    /// ```
    #[track_caller]
    pub fn permute(&self, order: &[isize]) -> Tensor {
        self.build(Location::caller(), |v| {
            let shape = v.shape();
            if shape.dims_sorted("permute", order)?.len() != shape.rank() {
                let detail = format!("{order:?} does not name every dim of shape {shape}");
                return Err(Error::argument("permute", detail));
            }
            let order = order.iter().map(|&d| shape.dim("permute", d)).collect::<Result<Vec<_>>>()?;
            Ok(v.permute(&order))
        })
    }

    /// Swaps two dims.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3, 4], &Device::cpu());
    /// assert_eq!(x.transpose(0, -1).shape(), [4, 3, 2]);
    /// ```
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.transpose(v.shape().dim("transpose", a)?, v.shape().dim("transpose", b)?))
        })
    }

    /// Swaps the last two dims. A vector or a scalar stays as it is, as in PyTorch.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 6.0, 1.0, &Device::cpu()).reshape([2, 3]);
    /// assert_eq!(x.t().to_vec::<f32>()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    /// assert_eq!(x.flatten(0, -1).t().shape(), [6]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn t(&self) -> Tensor {
        self.build(Location::caller(), |v| match v.shape().rank() {
            rank if rank >= 2 => Ok(v.transpose(rank - 2, rank - 1)),
            _ => Ok(v.clone()),
        })
    }

    /// Repeats dims of size 1 up to `shape`, without a copy.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let row = Tensor::from_slice(&[1f32, 2.0], [1, 2], &Device::default());
    /// assert_eq!(row.expand([3, 2]).sum().item::<f32>()?, 9.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        self.build(Location::caller(), |v| Ok(v.expand(&shape)))
    }

    /// Windows of `size` elements along `dim`, `step` apart, without a copy: `dim` counts the windows, and a new last dim holds
    /// their elements. Elements in several windows get the sum of their gradients.
    ///
    /// Carries an error where a window is larger than the dim, or `step` is 0.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 5.0, 1.0, &Device::default());
    /// let windows = x.unfold(0, 3, 2);
    /// assert_eq!(windows.shape(), [2, 3]);
    /// assert_eq!(windows.to_vec::<f32>()?, [0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn unfold(&self, dim: isize, size: usize, step: usize) -> Tensor {
        self.build(Location::caller(), |v| {
            if v.shape().rank() == 0 {
                // A scalar counts as one element, and has no dim that could count windows.
                let x = v.reshape(&Shape::from([1]));
                let windows = x.unfold(x.shape().dim("unfold", dim)?, size, step);
                windows.check()?;
                return Ok(windows.select(0, 0));
            }
            Ok(v.unfold(v.shape().dim("unfold", dim)?, size, step))
        })
    }

    /// Reverses the order along the given dims, without a copy.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 3.0, 1.0, &Device::cpu());
    /// assert_eq!(x.flip(&[0]).to_vec::<f32>()?, [2.0, 1.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn flip(&self, dims: &[isize]) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.flip(&v.shape().dims_sorted("flip", dims)?)))
    }

    /// A row-major copy (none where the elements already lie so).
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 6.0, 1.0, &Device::cpu()).reshape([2, 3]);
    /// assert_eq!(x.t().contiguous().to_vec::<f32>()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn contiguous(&self) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.contiguous()))
    }

    /// Parts of the given sizes along `dim`. Carries an error where they do not add up.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 5.0, 1.0, &Device::cpu());
    /// let parts = x.split(&[2, 3], 0);
    /// assert_eq!(parts[0].to_vec::<f32>()?, [0.0, 1.0]);
    /// assert_eq!(parts[1].to_vec::<f32>()?, [2.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, sizes: &[usize], dim: isize) -> Vec<Tensor> {
        let at = Location::caller();
        let mut start = 0usize;
        sizes
            .iter()
            .map(|&size| {
                let from = start;
                start = from.saturating_add(size);
                self.build(at, |v| {
                    let d = v.shape().dim("split", dim)?;
                    let total = sizes.iter().fold(0usize, |sum, &s| sum.saturating_add(s));
                    if total != v.shape()[d] {
                        let detail = format!("sizes {sizes:?} do not add up to {} of dim {dim}", v.shape()[d]);
                        return Err(Error::shape("split", detail, &[v.shape()]));
                    }
                    Ok(v.slice(d, from, 1, size))
                })
            })
            .collect()
    }

    /// At most `n` parts of equal size along `dim`; the last one may be smaller.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 5.0, 1.0, &Device::cpu());
    /// let parts = x.chunk(2, 0);
    /// assert_eq!(parts[0].to_vec::<f32>()?, [0.0, 1.0, 2.0]);
    /// assert_eq!(parts[1].to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn chunk(&self, n: usize, dim: isize) -> Vec<Tensor> {
        let at = Location::caller();
        let size = match self.full_shape().dim("chunk", dim) {
            Ok(d) if n > 0 => self.shape()[d],
            Ok(_) => return vec![self.build(at, |_| Err(Error::argument("chunk", "0 parts were asked for")))],
            Err(error) => return vec![self.build(at, |_| Err(error))],
        };
        let part = size.div_ceil(n).max(1);
        let starts: Vec<usize> = (0..size.max(1)).step_by(part).collect();
        starts
            .into_iter()
            .map(|start| self.build(at, |v| slice(v, "chunk", dim, &(start..(start + part).min(size)), 1)))
            .collect()
    }

    /// Joins tensors along `dim`. Carries an error where there is none, or where other dims differ. Empty vectors (shape `[0]`) are left
    /// out among tensors of other ranks, as in PyTorch.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (a, b) = (Tensor::zeros([2, 3], &device), Tensor::ones([1, 3], &device));
    /// assert_eq!(Tensor::cat(&[&a, &b], 0).shape(), [3, 3]);
    /// ```
    #[track_caller]
    pub fn cat(tensors: &[&Tensor], dim: isize) -> Tensor {
        join(tensors, "cat", Location::caller(), |vars| {
            // An empty vector among other tensors is left out.
            let shaped = vars.iter().find(|v| v.shape()[..] != [0]).unwrap_or(&vars[0]);
            let d = shaped.shape().dim("cat", dim)?;
            Var::cat(vars, d)
        })
    }

    /// Joins tensors of one shape along a new dim.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (a, b) = (Tensor::zeros([3], &device), Tensor::ones([3], &device));
    /// assert_eq!(Tensor::stack(&[&a, &b], 0).shape(), [2, 3]);
    /// assert_eq!(Tensor::stack(&[&a, &b], -1).shape(), [3, 2]);
    /// ```
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], dim: isize) -> Tensor {
        join(tensors, "stack", Location::caller(), |vars| {
            let rank = vars[0].shape().rank() as isize;
            if !(-rank - 1..=rank).contains(&dim) {
                return Err(Error::argument("stack", format!("dim {dim} is out of range for {}", vars[0].shape())));
            }
            Var::stack(vars, (if dim < 0 { dim + rank + 1 } else { dim }) as usize)
        })
    }

    /// Adds `(before, after)` elements equal to `value` along each dim.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2], &Device::default());
    /// assert_eq!(x.pad(&[(1, 2)], 9.0).to_vec::<f32>()?, [9.0, 1.0, 1.0, 9.0, 9.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, padding: &[(usize, usize)], value: impl Into<f64>) -> Tensor {
        self.build(Location::caller(), |v| {
            if padding.len() != v.shape().rank() {
                let detail = format!("{} pairs were given for rank {}", padding.len(), v.shape().rank());
                return Err(Error::shape("pad", detail, &[v.shape()]));
            }
            Ok(v.pad(padding, v.number(value)))
        })
    }

    /// Repeats the whole tensor `times[d]` times along each dim; more entries than dims add dims in front.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::cpu());
    /// assert_eq!(x.repeat(&[2]).to_vec::<f32>()?, [1.0, 2.0, 1.0, 2.0]);
    /// assert_eq!(x.repeat(&[3, 1]).shape(), [3, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn repeat(&self, times: &[usize]) -> Tensor {
        self.build(Location::caller(), |v| {
            let lead = times.len().checked_sub(v.shape().rank()).ok_or_else(|| {
                Error::shape("repeat", format!("{} counts for rank {}", times.len(), v.shape().rank()), &[v.shape()])
            })?;
            // [a, b] repeated (m, n) times is [1, a, 1, b] expanded to [m, a, n, b].
            let size = |d: usize| if d < lead { 1 } else { v.shape()[d - lead] };
            let spread: Shape = (0..times.len()).flat_map(|d| [1, size(d)]).collect();
            let wide: Shape = (0..times.len()).flat_map(|d| [times[d], size(d)]).collect();
            let out: Shape = (0..times.len()).map(|d| times[d].saturating_mul(size(d))).collect();
            Ok(v.reshape(&spread).expand(&wide).reshape(&out))
        })
    }

    /// Shifts elements along dims; what leaves at one end comes in at the other.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 4.0, 1.0, &Device::cpu());
    /// assert_eq!(x.roll(&[1], &[0]).to_vec::<f32>()?, [3.0, 0.0, 1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn roll(&self, shifts: &[isize], dims: &[isize]) -> Tensor {
        self.build(Location::caller(), |v| {
            if shifts.len() != dims.len() {
                let detail = format!("{} shifts for {} dims", shifts.len(), dims.len());
                return Err(Error::argument("roll", detail));
            }
            let mut out = v.clone();
            for (&shift, &dim) in shifts.iter().zip(dims) {
                let d = v.shape().dim("roll", dim)?;
                let size = v.shape()[d];
                let by = if size == 0 { 0 } else { shift.rem_euclid(size as isize) as usize };
                if by > 0 {
                    let (tail, head) = (out.slice(d, size - by, 1, by), out.slice(d, 0, 1, size - by));
                    out = Var::cat(&[&tail, &head], d)?;
                }
            }
            Ok(out)
        })
    }
}

/// A shape in which one size may be -1: arrays, slices and vectors of `usize`, `isize` or `i32`.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let x = Tensor::zeros([2, 6], &Device::cpu());
/// assert_eq!(x.reshape([3, -1]).shape(), [3, 4]);
/// assert_eq!(x.reshape(vec![4usize, 3]).shape(), [4, 3]);
/// ```
pub trait Sizes {
    /// The sizes as given.
    fn sizes(&self) -> Vec<isize>;
}

macro_rules! sizes {
    ($($t:ty),*) => {$(
        impl<const N: usize> Sizes for [$t; N] {
            fn sizes(&self) -> Vec<isize> {
                self.iter().map(|&s| isize::try_from(s).unwrap_or(isize::MIN)).collect()
            }
        }
        impl Sizes for &[$t] {
            fn sizes(&self) -> Vec<isize> {
                self.iter().map(|&s| isize::try_from(s).unwrap_or(isize::MIN)).collect()
            }
        }
        impl Sizes for Vec<$t> {
            fn sizes(&self) -> Vec<isize> {
                self.iter().map(|&s| isize::try_from(s).unwrap_or(isize::MIN)).collect()
            }
        }
    )*};
}
sizes!(usize, isize, i32);

/// Works out the one size that is given as -1.
pub(super) fn infer_sizes(op: &str, shape: &Shape, sizes: &[isize]) -> Result<Shape> {
    let bad = |why: &str| Err(Error::shape(op, format!("{sizes:?} {why}"), &[shape]));
    let known = sizes.iter().filter(|&&s| s >= 0).fold(1usize, |p, &s| p.saturating_mul(s as usize));
    match sizes.iter().filter(|&&s| s < 0).count() {
        0 => {}
        1 if sizes.contains(&-1) && known > 0 && shape.numel().is_multiple_of(known) => {}
        1 => return bad("leaves no whole number for the size given as -1"),
        _ => return bad("has more than one size to be worked out"),
    }
    Ok(sizes.iter().map(|&s| if s < 0 { shape.numel() / known } else { s as usize }).collect())
}

/// Builds a tensor from several.
pub(super) fn join(
    tensors: &[&Tensor],
    op: &str,
    at: &'static Location<'static>,
    f: impl FnOnce(&[&Var]) -> Result<Var>,
) -> Tensor {
    let Some(first) = tensors.first() else {
        // Without an operand there is no device to carry the error, so it goes to the CPU reference.
        let device = crate::backend::Device::cpu();
        let error = Error::argument(op, "no tensors were given").or_at(at);
        return Tensor::from_var(Var::failed(error, device.context(), at), &device);
    };
    let vars: Vec<Var> = tensors.iter().map(|t| t.node()).collect();
    let refs: Vec<&Var> = vars.iter().collect();
    let built = match vars.iter().find_map(|v| v.0.error.clone()) {
        Some(error) => Err(error),
        None => with_location(at, || f(&refs)),
    };
    let device = first.device();
    let failed = |e: Error| Var::failed_as(e.or_at(at), Some(refs[0].meta().clone()), device.context(), at);
    Tensor::from_var(built.unwrap_or_else(failed), device)
}
