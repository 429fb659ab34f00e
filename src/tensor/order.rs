//! Sorting and what follows from an order.

use std::panic::Location;

use crate::backend::Device;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::tensor::cumulative::row_dim;

impl Tensor {
    /// The elements in sorted order along `dim`, and the indices (u32) at which they stood, both of this tensor's shape.
    ///
    /// The sort is stable: equal elements keep their order, also in descending sorts. NaN counts as larger than every number.
    /// Any element type. Gradients flow through the values.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[2f32, 3.0, 1.0], [3], &Device::default());
    /// let (values, indices) = x.sort(0, true);
    /// assert_eq!(values.to_vec::<f32>()?, [3.0, 2.0, 1.0]);
    /// assert_eq!(indices.to_vec::<u32>()?, [1, 0, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn sort(&self, dim: isize, descending: bool) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| Ok(v.sort(row_dim(v, "sort", dim)?, descending)))
    }

    /// The indices (u32) that sort this tensor along `dim`; see [`Tensor::sort`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[2f32, 3.0, 1.0], [3], &Device::default());
    /// assert_eq!(x.argsort(0, false).to_vec::<u32>()?, [2, 0, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn argsort(&self, dim: isize, descending: bool) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.argsort(row_dim(v, "argsort", dim)?, descending)))
    }

    /// The `k` largest elements along `dim`, the largest first, and their indices (u32). Carries an error where the dim has
    /// fewer.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let scores = Tensor::from_slice(&[0.1f32, 0.7, 0.2], [3], &Device::default());
    /// assert_eq!(scores.topk(2, -1).1.to_vec::<u32>()?, [1, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn topk(&self, k: usize, dim: isize) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| v.topk(k, row_dim(v, "topk", dim)?, true))
    }

    /// [`Tensor::topk`] of the largest or smallest elements. They come sorted, the best first, whether `sorted` is set or not;
    /// without it callers must not rely on an order.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32, 7.0, 2.0], [3], &Device::cpu());
    /// let (smallest, indices) = x.topk_with(2, 0, false, true);
    /// assert_eq!(smallest.to_vec::<f32>()?, [2.0, 3.0]);
    /// assert_eq!(indices.to_vec::<u32>()?, [2, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn topk_with(&self, k: usize, dim: isize, largest: bool, sorted: bool) -> (Tensor, Tensor) {
        let _ = sorted;
        self.build_pair(Location::caller(), |v| v.topk(k, row_dim(v, "topk", dim)?, largest))
    }

    /// The `k`-th smallest element along `dim`, counted from 1, and its index (u32); with `keepdim` the dim stays with size 1.
    /// Carries an error where there is none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[4f32, 1.0, 3.0], [3], &Device::cpu());
    /// let (value, index) = x.kthvalue(2, 0, false);
    /// assert_eq!((value.item::<f32>()?, index.item::<u32>()?), (3.0, 2));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn kthvalue(&self, k: usize, dim: isize, keepdim: bool) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| v.kthvalue(k, row_dim(v, "kthvalue", dim)?, keepdim))
    }

    /// The median of all elements: of an even number of them the smaller middle one, as in PyTorch. NaN where an element is
    /// NaN, and of no floats. The gradient is shared evenly among equals.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[4f32, 1.0, 3.0, 2.0], [4], &Device::default());
    /// assert_eq!(x.median().item::<f32>()?, 2.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn median(&self) -> Tensor {
        self.build(Location::caller(), |v| v.median_all(false))
    }

    /// The lower median along `dim`, and its index (u32); with `keepdim` the dim stays with size 1. Where an element is NaN,
    /// that of the first NaN. Carries an error where the dim has no elements.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 5.0, 3.0, 8.0, 9.0, 7.0], [2, 3], &Device::cpu());
    /// let (values, indices) = x.median_dim(1, false);
    /// assert_eq!(values.to_vec::<f32>()?, [3.0, 8.0]);
    /// assert_eq!(indices.to_vec::<u32>()?, [2, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn median_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| v.median(row_dim(v, "median", dim)?, keepdim, false))
    }

    /// [`Tensor::median`] of the elements that are not NaN; NaN where there are none.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[f32::NAN, 1.0, 5.0, 3.0], [4], &Device::cpu());
    /// assert_eq!(x.nanmedian().item::<f32>()?, 3.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nanmedian(&self) -> Tensor {
        self.build(Location::caller(), |v| v.median_all(true))
    }

    /// [`Tensor::median_dim`] of the elements that are not NaN.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[f32::NAN, 1.0, 5.0, 3.0, f32::NAN, 2.0], [2, 3], &Device::cpu());
    /// let (values, indices) = x.nanmedian_dim(1, false); // of an even number the smaller middle one
    /// assert_eq!(values.to_vec::<f32>()?, [1.0, 2.0]);
    /// assert_eq!(indices.to_vec::<u32>()?, [1, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn nanmedian_dim(&self, dim: isize, keepdim: bool) -> (Tensor, Tensor) {
        self.build_pair(Location::caller(), |v| v.median(row_dim(v, "nanmedian", dim)?, keepdim, true))
    }

    /// A random order of `0..n` (u32), by sorting random numbers: the same device and seed give the same order.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let mut order = Tensor::randperm(5, &device).to_vec::<u32>()?;
    /// order.sort();
    /// assert_eq!(order, [0, 1, 2, 3, 4]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn randperm(n: usize, device: &Device) -> Tensor {
        // Keys of 32 bits; equal ones (a few pairs in a million) keep their order.
        let keys = Tensor::randint(Shape::from([n]), i32::MIN, i32::MAX, device);
        keys.build(Location::caller(), |v| Ok(v.argsort(0, false)))
    }
}
