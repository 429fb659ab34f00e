//! Diagonals.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A dim of a result of `rank` dims, which may count from the end.
fn new_dim(op: &str, rank: usize, dim: isize) -> Result<usize> {
    let resolved = if dim < 0 { dim + rank as isize } else { dim };
    match (0..rank as isize).contains(&resolved) {
        true => Ok(resolved as usize),
        false => Err(Error::argument(op, format!("dim {dim} is out of range for a result of rank {rank}"))),
    }
}

impl Tensor {
    /// Of a vector `[n]` the matrix with it on diagonal `k` (above the main one for `k > 0`), of a matrix its diagonal `k`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::default());
    /// assert_eq!(x.diag(0).to_vec::<f32>()?, [1.0, 0.0, 0.0, 2.0]);
    /// assert_eq!(x.diag(1).diag(1).to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn diag(&self, k: isize) -> Tensor {
        self.build(Location::caller(), |v| v.diag(k))
    }

    /// The elements whose index along `dim2` is `offset` more than along `dim1`; the two dims go away and the diagonal becomes
    /// the last one. A view where the matrix lies row after row.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &Device::cpu());
    /// assert_eq!(x.diagonal(0, 0, 1).to_vec::<f32>()?, [1.0, 5.0]);
    /// assert_eq!(x.diagonal(1, 0, 1).to_vec::<f32>()?, [2.0, 6.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn diagonal(&self, offset: isize, dim1: isize, dim2: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            v.diagonal(offset, v.shape().dim("diagonal", dim1)?, v.shape().dim("diagonal", dim2)?)
        })
    }

    /// Matrices with the elements along the last dim on diagonal `offset` and zeros elsewhere; their rows and columns become
    /// dims `dim1` and `dim2` of the result. The transpose of [`Tensor::diagonal`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::cpu());
    /// assert_eq!(x.diag_embed(0, -2, -1).to_vec::<f32>()?, [1.0, 0.0, 0.0, 2.0]);
    /// assert_eq!(x.diag_embed(1, -2, -1).shape(), [3, 3]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn diag_embed(&self, offset: isize, dim1: isize, dim2: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let rank = v.shape().rank() + 1;
            v.diag_embed(offset, new_dim("diag_embed", rank, dim1)?, new_dim("diag_embed", rank, dim2)?)
        })
    }

    /// The sum of the main diagonal of a matrix.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.trace().item::<f32>()?, 5.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn trace(&self) -> Tensor {
        self.build(Location::caller(), |v| v.trace())
    }

    /// Cuts `dim` into dims of the given sizes, one of which may be -1 and is worked out.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// assert_eq!(Tensor::zeros([2, 6], &Device::default()).unflatten(1, [3, -1]).shape(), [2, 3, 2]);
    /// ```
    #[track_caller]
    pub fn unflatten(&self, dim: isize, sizes: impl super::movement::Sizes) -> Tensor {
        self.build(Location::caller(), |v| {
            let d = v.shape().dim("unflatten", dim)?;
            let cut = super::movement::infer_sizes("unflatten", &Shape::from([v.shape()[d]]), &sizes.sizes())?;
            if cut.numel() != v.shape()[d] {
                let detail = format!("sizes {cut} do not multiply to {} of dim {dim}", v.shape()[d]);
                return Err(Error::shape("unflatten", detail, &[v.shape()]));
            }
            let (before, after) = (v.shape()[..d].iter(), v.shape()[d + 1..].iter());
            Ok(v.reshape(&before.chain(&cut[..]).chain(after).copied().collect()))
        })
    }
}
