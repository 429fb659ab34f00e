//! Reductions over the whole tensor or over dims.

use std::panic::Location;

use crate::error::Result;
use crate::graph::Var;
use crate::tensor::Tensor;
use crate::tensor::cumulative::row_dim;

pub(super) fn all_dims(v: &Var) -> Vec<usize> {
    (0..v.shape().rank()).collect()
}

/// The dims asked for, ascending; all where none are given, as in PyTorch.
pub(super) fn dims_or_all(v: &Var, op: &str, dims: &[isize]) -> Result<Vec<usize>> {
    if dims.is_empty() { Ok(all_dims(v)) } else { v.shape().dims_sorted(op, dims) }
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $whole:ident, $(#[$dims_doc:meta])* $dims:ident, $op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $whole(&self) -> Tensor {
                self.reduced(stringify!($op)).build(Location::caller(), |v| Ok(v.$op(&all_dims(v), false)))
            }

            $(#[$dims_doc])*
            #[track_caller]
            pub fn $dims(&self, dims: &[isize], keepdim: bool) -> Tensor {
                self.reduced(stringify!($op)).build(Location::caller(), |v| {
                    Ok(v.$op(&dims_or_all(v, stringify!($op), dims)?, keepdim))
                })
            }
        )*}
    };
}

reductions! {
    /// Sum of all elements; 0 of none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.sum().item::<f32>()?, 10.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    sum, /// Sums over `dims` (all where none are given, here and below); with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2, 3], &Device::default());
    /// assert_eq!(x.sum_dims(&[-1], true).shape(), [2, 1]);
    /// assert_eq!(x.sum_dims(&[0], false).to_vec::<f32>()?, [2.0, 2.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    sum_dims, sum;
    /// Mean of all elements.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.mean().item::<f32>()?, 2.5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    mean, /// Means over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.mean_dims(&[0], false).to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    mean_dims, mean;
    /// Product of all elements; 1 of none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.prod().item::<f32>()?, 24.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    prod, /// Products over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.prod_dims(&[1], false).to_vec::<f32>()?, [2.0, 12.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    prod_dims, prod;
    /// Largest element; the gradient is shared evenly among equals. Carries an error where there is none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.max().item::<f32>()?, 4.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    max, /// Largest elements over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.max_dims(&[1], false).to_vec::<f32>()?, [2.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    max_dims, max;
    /// Smallest element; the gradient is shared evenly among equals. Carries an error where there is none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.min().item::<f32>()?, 1.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    min, /// Smallest elements over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.min_dims(&[1], false).to_vec::<f32>()?, [1.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    min_dims, min;
    /// Whether any element is true.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[true, false, true, true], [2, 2], &Device::cpu());
    /// assert!(x.any().item::<bool>()?);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    any, /// Whether any element over `dims` is true; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[true, false, false, false], [2, 2], &Device::cpu());
    /// assert_eq!(x.any_dims(&[1], false).to_vec::<bool>()?, [true, false]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    any_dims, any;
    /// Whether all elements are true.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[true, false, true, true], [2, 2], &Device::cpu());
    /// assert!(!x.all().item::<bool>()?);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    all, /// Whether all elements over `dims` are true; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[true, false, true, true], [2, 2], &Device::cpu());
    /// assert_eq!(x.all_dims(&[1], false).to_vec::<bool>()?, [false, true]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    all_dims, all;
    /// `ln Σ e^x` of all elements, without overflow.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1000f32, 1000.0], [2], &Device::cpu());
    /// assert!((x.logsumexp().item::<f32>()? - 1000.6931).abs() < 1e-3);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    logsumexp, /// `ln Σ e^x` over `dims`, without overflow; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3], &Device::cpu());
    /// assert_eq!(x.logsumexp_dims(&[1], true).shape(), [2, 1]);
    /// ```
    logsumexp_dims, logsumexp;
}

impl Tensor {
    /// Variance of all elements: squared distances from the mean, summed and divided by `n - correction` (1 for the unbiased
    /// estimate).
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 3.0], [2], &Device::default());
    /// assert_eq!((x.var(1.0).item::<f32>()?, x.var(0.0).item::<f32>()?), (2.0, 1.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn var(&self, correction: impl Into<f64>) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.var(&all_dims(v), v.number(correction), false)))
    }

    /// Variance over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 3.0, 5.0, 9.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.var_dims(&[1], 0.0, false).to_vec::<f32>()?, [1.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn var_dims(&self, dims: &[isize], correction: impl Into<f64>, keepdim: bool) -> Tensor {
        self.widened()
            .build(Location::caller(), |v| Ok(v.var(&dims_or_all(v, "var", dims)?, v.number(correction), keepdim)))
    }

    /// Standard deviation of all elements; `correction` as in [`Tensor::var`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 3.0], [2], &Device::cpu());
    /// assert_eq!(x.std(0.0).item::<f32>()?, 1.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn std(&self, correction: impl Into<f64>) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.std(&all_dims(v), v.number(correction), false)))
    }

    /// Standard deviation over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 3.0, 5.0, 9.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.std_dims(&[1], 0.0, false).to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn std_dims(&self, dims: &[isize], correction: impl Into<f64>, keepdim: bool) -> Tensor {
        self.widened()
            .build(Location::caller(), |v| Ok(v.std(&dims_or_all(v, "std", dims)?, v.number(correction), keepdim)))
    }

    /// The p-norm of all elements, `(Σ |x|^p)^(1/p)`; the largest `|x|` for `f32::INFINITY`. The gradient at 0 is 0.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32, -4.0], [2], &Device::cpu());
    /// assert!((x.norm(2.0).item::<f32>()? - 5.0).abs() < 1e-5);
    /// assert_eq!(x.norm(f32::INFINITY).item::<f32>()?, 4.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn norm(&self, p: impl Into<f64>) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.norm(v.number(p), &all_dims(v), false)))
    }

    /// The p-norm over `dims`; with `keepdim` they stay with size 1.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, -2.0, 3.0, -4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.norm_dims(f32::INFINITY, &[1], false).to_vec::<f32>()?, [2.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn norm_dims(&self, p: impl Into<f64>, dims: &[isize], keepdim: bool) -> Tensor {
        self.widened().build(Location::caller(), |v| Ok(v.norm(v.number(p), &dims_or_all(v, "norm", dims)?, keepdim)))
    }

    /// Index (u32) of the first largest element along `dim`. NaN counts as largest.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let scores = Tensor::from_slice(&[0.1f32, 0.7, 0.2, 0.9, 0.0, 0.1], [2, 3], &Device::default());
    /// assert_eq!(scores.argmax(-1, false).to_vec::<u32>()?, [1, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn argmax(&self, dim: isize, keepdim: bool) -> Tensor {
        self.build(Location::caller(), |v| -> Result<Var> { Ok(v.argmax(row_dim(v, "argmax", dim)?, keepdim)) })
    }

    /// Index (u32) of the first smallest element along `dim`. NaN counts as smallest.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32, 1.0, 2.0, 0.0, 5.0, 4.0], [2, 3], &Device::cpu());
    /// assert_eq!(x.argmin(-1, false).to_vec::<u32>()?, [1, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn argmin(&self, dim: isize, keepdim: bool) -> Tensor {
        self.build(Location::caller(), |v| -> Result<Var> { Ok(v.argmin(row_dim(v, "argmin", dim)?, keepdim)) })
    }
}
