//! Cumulative ops along a dim.

use std::panic::Location;

use crate::error::Result;
use crate::graph::Var;
use crate::tensor::Tensor;

/// A dim of a tensor; a scalar counts as having one.
pub(super) fn row_dim(v: &Var, op: &str, dim: isize) -> Result<usize> {
    match (v.shape().rank(), dim) {
        (0, -1 | 0) => Ok(0),
        _ => v.shape().dim(op, dim),
    }
}

impl Tensor {
    /// Running sums along `dim`: `y[k] = x[0] + … + x[k]`. Floats and integers (which wrap); booleans count as i32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &Device::default());
    /// assert_eq!(x.cumsum(0).to_vec::<f32>()?, [1.0, 3.0, 6.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn cumsum(&self, dim: isize) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.cumsum(row_dim(v, "cumsum", dim)?)))
    }

    /// Running products along `dim`. Floats and integers (which wrap); booleans count as i32. Gradients of any order are right
    /// at zeros.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &Device::cpu());
    /// assert_eq!(x.cumprod(0).to_vec::<f32>()?, [1.0, 2.0, 6.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn cumprod(&self, dim: isize) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.cumprod(row_dim(v, "cumprod", dim)?)))
    }

    /// `ln Σ e^x` of the elements so far along `dim`, without overflow.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let sums = Tensor::zeros([3], &Device::cpu()).logcumsumexp(0).exp().to_vec::<f32>()?;
    /// assert!(sums.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn logcumsumexp(&self, dim: isize) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.logcumsumexp(row_dim(v, "logcumsumexp", dim)?)))
    }

    /// The largest element so far along `dim`, and its index (u32), the last one of equals. NaN counts as largest. Any type;
    /// gradients flow through the values.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 3.0, 2.0], [3], &Device::default());
    /// let (values, indices) = x.cummax(0);
    /// assert_eq!(values.to_vec::<f32>()?, [1.0, 3.0, 3.0]);
    /// assert_eq!(indices.to_vec::<u32>()?, [0, 1, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn cummax(&self, dim: isize) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| Ok(v.cummax(row_dim(v, "cummax", dim)?)))
    }

    /// The smallest element so far along `dim`, and its index (u32), the last one of equals. NaN counts as smallest.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32, 1.0, 2.0], [3], &Device::cpu());
    /// let (values, indices) = x.cummin(0);
    /// assert_eq!(values.to_vec::<f32>()?, [3.0, 1.0, 1.0]);
    /// assert_eq!(indices.to_vec::<u32>()?, [0, 1, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn cummin(&self, dim: isize) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| Ok(v.cummin(row_dim(v, "cummin", dim)?)))
    }

    /// Differences of neighbours along `dim`, which gets one element fewer; of booleans, whether they differ.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 4.0, 9.0], [3], &Device::default());
    /// assert_eq!(x.diff(0).to_vec::<f32>()?, [3.0, 5.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn diff(&self, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.diff(v.shape().dim("diff", dim)?)))
    }
}
