//! Pooling and resizing of spatial dims.

use std::panic::Location;

use crate::ops::interpolate::Interpolate;
use crate::ops::per_dim::PerDim;
use crate::ops::pool::{AvgPool, Pool};
use crate::tensor::Tensor;

/// The methods for each number of spatial dims.
macro_rules! pooling {
    ($dims:literal $spatial:literal $max:ident $max_with:ident $avg:ident $avg_with:ident $adaptive_avg:ident
        $adaptive_max:ident $adaptive_max_with:ident $lp:ident) => {
        impl Tensor {
            #[doc = concat!("The largest element of each window of floats `[N, C, ", $spatial, "]` or `[C, ", $spatial, "]`.")]
            ///
            /// `kernel`, `stride` and `padding` are a number or one for each spatial dim; the padding never wins. NaN
            /// wins over all else; the gradient goes to the first of equal elements. What does not fit is an error of
            /// the tensor.
            ///
            /// ```
            /// use wgrad::{Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::default());")]
            #[doc = concat!("let y = x.", stringify!($max), "(3, 2, 1);")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 3, 3, 3][..2 + ", $dims, "]);")]
            /// ```
            #[track_caller]
            pub fn $max(
                &self,
                kernel: impl Into<PerDim>,
                stride: impl Into<PerDim>,
                padding: impl Into<PerDim>,
            ) -> Tensor {
                let pool = Pool { stride: stride.into(), padding: padding.into(), ..Pool::new(kernel) };
                self.build(Location::caller(), |v| Ok(v.max_pool($dims, &pool)))
            }

            #[doc = concat!("[`Tensor::", stringify!($max), "`] with every option: the values, and the place of each (u32) in")]
            /// the flattened spatial dims.
            ///
            /// ```
            /// use wgrad::{Device, Pool, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::cpu());")]
            #[doc = concat!("let (y, places) = x.", stringify!($max_with), "(&Pool::new(2));")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// assert_eq!(places.shape(), y.shape());
            /// ```
            #[track_caller]
            pub fn $max_with(&self, pool: &Pool) -> (Tensor, Tensor) {
                self.build_pair(Location::caller(), |v| Ok(v.max_pool_with_indices($dims, pool)))
            }

            #[doc = concat!("The average of each window of floats `[N, C, ", $spatial, "]` or `[C, ", $spatial, "]`.")]
            ///
            /// `kernel`, `stride` and `padding` are a number or one for each spatial dim; the zeros of the padding
            /// count.
            ///
            /// ```
            /// use wgrad::{Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::cpu());")]
            #[doc = concat!("let y = x.", stringify!($avg), "(2, 2, 0);")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// ```
            #[track_caller]
            pub fn $avg(
                &self,
                kernel: impl Into<PerDim>,
                stride: impl Into<PerDim>,
                padding: impl Into<PerDim>,
            ) -> Tensor {
                let pool = AvgPool { stride: stride.into(), padding: padding.into(), ..AvgPool::new(kernel) };
                self.build(Location::caller(), |v| Ok(v.avg_pool($dims, &pool)))
            }

            #[doc = concat!("[`Tensor::", stringify!($avg), "`] with every option.")]
            ///
            /// ```
            /// use wgrad::{AvgPool, Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::cpu());")]
            #[doc = concat!("let y = x.", stringify!($avg_with), "(&AvgPool::new(2));")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// ```
            #[track_caller]
            pub fn $avg_with(&self, pool: &AvgPool) -> Tensor {
                self.build(Location::caller(), |v| Ok(v.avg_pool($dims, pool)))
            }

            #[doc = concat!("Averages that bring the spatial dims of `[N, C, ", $spatial, "]` or `[C, ", $spatial, "]`")]
            /// to `size`: output `o` averages `⌊o · in / out⌋ .. ⌈(o + 1) · in / out⌉` along each dim.
            ///
            /// ```
            /// use wgrad::{Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::default());")]
            #[doc = concat!("let y = x.", stringify!($adaptive_avg), "(2);")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// ```
            #[track_caller]
            pub fn $adaptive_avg(&self, size: impl Into<PerDim>) -> Tensor {
                let size = size.into();
                self.build(Location::caller(), |v| Ok(v.adaptive_avg_pool($dims, &size)))
            }

            #[doc = concat!("Largest elements of the windows of [`Tensor::", stringify!($adaptive_avg), "`].")]
            ///
            /// ```
            /// use wgrad::{Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::cpu());")]
            #[doc = concat!("let y = x.", stringify!($adaptive_max), "(2);")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// ```
            #[track_caller]
            pub fn $adaptive_max(&self, size: impl Into<PerDim>) -> Tensor {
                let size = size.into();
                self.build(Location::caller(), |v| Ok(v.adaptive_max_pool($dims, &size)))
            }

            #[doc = concat!("[`Tensor::", stringify!($adaptive_max), "`] with the place of each element (u32) in")]
            /// the flattened spatial dims.
            ///
            /// ```
            /// use wgrad::{Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::cpu());")]
            #[doc = concat!("let (y, places) = x.", stringify!($adaptive_max_with), "(2);")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// assert_eq!(places.shape(), y.shape());
            /// ```
            #[track_caller]
            pub fn $adaptive_max_with(&self, size: impl Into<PerDim>) -> (Tensor, Tensor) {
                let size = size.into();
                self.build_pair(Location::caller(), |v| Ok(v.adaptive_max_pool_with_indices($dims, &size)))
            }

            #[doc = concat!("`(Σ xᵖ)^(1/p)` of each window of `[N, C, ", $spatial, "]` or `[C, ", $spatial, "]` (floats),")]
            /// without padding.
            ///
            /// ```
            /// use wgrad::{Device, Tensor};
            #[doc = concat!("let x = Tensor::ones(&[2, 3, 5, 5, 5][..2 + ", $dims, "], &Device::cpu());")]
            #[doc = concat!("let y = x.", stringify!($lp), "(2.0, 2, 2);")]
            #[doc = concat!("assert_eq!(y.shape(), &[2, 3, 2, 2, 2][..2 + ", $dims, "]);")]
            /// ```
            #[track_caller]
            pub fn $lp(&self, p: impl Into<f64>, kernel: impl Into<PerDim>, stride: impl Into<PerDim>) -> Tensor {
                let (kernel, stride) = (kernel.into(), stride.into());
                self.build(Location::caller(), |v| Ok(v.lp_pool($dims, v.number(p), &kernel, &stride)))
            }
        }
    };
}

pooling!(1 "L" max_pool1d max_pool1d_with avg_pool1d avg_pool1d_with adaptive_avg_pool1d adaptive_max_pool1d
    adaptive_max_pool1d_with_indices lp_pool1d);
pooling!(2 "H, W" max_pool2d max_pool2d_with avg_pool2d avg_pool2d_with adaptive_avg_pool2d adaptive_max_pool2d
    adaptive_max_pool2d_with_indices lp_pool2d);
pooling!(3 "D, H, W" max_pool3d max_pool3d_with avg_pool3d avg_pool3d_with adaptive_avg_pool3d adaptive_max_pool3d
    adaptive_max_pool3d_with_indices lp_pool3d);

impl Tensor {
    /// `[N, C, *spatial]` (floats) with its one to three spatial dims resized to `size`. [`Interpolate`] says how; bicubic takes two dims.
    ///
    /// ```
    /// use wgrad::{Device, Interpolate, Tensor};
    /// let x = Tensor::from_slice(&[0f32, 4.0], [1, 1, 2], &Device::default());
    /// assert_eq!(x.interpolate(&[4], Interpolate::Nearest).to_vec::<f32>()?, [0.0, 0.0, 4.0, 4.0]);
    /// assert_eq!(x.interpolate(&[4], Interpolate::Bilinear).to_vec::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn interpolate(&self, size: &[usize], mode: Interpolate) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.interpolate(size, mode)))
    }

    /// `[N, C, *spatial]` (floats) with its one to three spatial dims of size n resized to ⌊n · factor⌋: one factor, or one for each
    /// dim. New elements lie 1 / factor apart, whatever the sizes are; with aligned corners and areas the sizes alone count. (PyTorch's
    /// `scale_factor` without `recompute_scale_factor`.)
    ///
    /// ```
    /// use wgrad::{Device, Interpolate, Tensor};
    /// let x = Tensor::from_slice(&[0f32, 3.0, 6.0], [1, 1, 3], &Device::default());
    /// let y = x.interpolate_by(&[1.5], Interpolate::Bilinear); // at 0, ½, 7/6, 11/6 of the input
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 1.5, 3.5, 5.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn interpolate_by(&self, factors: &[f64], mode: Interpolate) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.interpolate_by(factors, mode)))
    }

    /// `[…, C·r², H, W]` to `[…, C, H·r, W·r]`: blocks of r² channels become r×r pixels. (Shi et al. 2016)
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 8.0, 1.0, &Device::default()).reshape([4, 1, 2]);
    /// assert_eq!(x.pixel_shuffle(2).to_vec::<f32>()?, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn pixel_shuffle(&self, r: usize) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.pixel_shuffle(r)))
    }

    /// `[…, C, H·r, W·r]` to `[…, C·r², H, W]`: the inverse of [`Tensor::pixel_shuffle`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::arange(0.0, 8.0, 1.0, &Device::cpu()).reshape([1, 2, 4]);
    /// assert_eq!(x.pixel_unshuffle(2).shape(), [4, 1, 2]);
    /// assert_eq!(x.pixel_unshuffle(2).to_vec::<f32>()?, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn pixel_unshuffle(&self, r: usize) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.pixel_unshuffle(r)))
    }
}
