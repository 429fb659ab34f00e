//! Slices put, added and counted at indices.

use std::panic::Location;

use crate::ops::index::ScatterReduction;
use crate::tensor::Tensor;

impl Tensor {
    /// This tensor with the slices of `source` added at the given indices (rank 1, i32 or u32) along `dim`, in a fixed order.
    /// `source` has this tensor's shape but for one slice an index. Floats and integers.
    ///
    /// An index out of range becomes [`crate::Error::IndexOutOfRange`] when the result, or what is computed from it, is read;
    /// here and below.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let (index, ones) = (Tensor::from_slice(&[2i32, 0, 2], [3], &device), Tensor::ones([3], &device));
    /// assert_eq!(Tensor::zeros([4], &device).index_add(0, &index, &ones).to_vec::<f32>()?, [1.0, 0.0, 2.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn index_add(&self, dim: isize, index: &Tensor, source: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.index_add(v.shape().dim_of_at_least_one("index_add", dim)?, &index.node(), &source.node()))
        })
    }

    /// This tensor with the slices at the given indices (rank 1) along `dim` replaced by those of `source`; of several for one
    /// place the last wins.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let index = Tensor::from_slice(&[2i32, 0], [2], &device);
    /// let source = Tensor::from_slice(&[5f32, 6.0], [2], &device);
    /// let y = Tensor::zeros([3], &device).index_copy(0, &index, &source);
    /// assert_eq!(y.to_vec::<f32>()?, [6.0, 0.0, 5.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn index_copy(&self, dim: isize, index: &Tensor, source: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.index_copy(v.shape().dim_of_at_least_one("index_copy", dim)?, &index.node(), &source.node()))
        })
    }

    /// This tensor with the slices at the given indices (rank 1) along `dim` filled with `value`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let index = Tensor::from_slice(&[2i32, 0], [2], &device);
    /// let y = Tensor::ones([3], &device).index_fill(0, &index, 7.0);
    /// assert_eq!(y.to_vec::<f32>()?, [7.0, 1.0, 7.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn index_fill(&self, dim: isize, index: &Tensor, value: impl Into<f64>) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.index_fill(v.shape().dim_of_at_least_one("index_fill", dim)?, &index.node(), v.number(value)))
        })
    }

    /// This tensor with the elements of `source` (of its type) put together with it at the given indices along `dim`: by their sum, mean, largest,
    /// smallest or product. Shapes as in [`Tensor::scatter_add`]; floats and integers.
    ///
    /// Without `include_self` what this tensor holds at places that indices name does not count; other places keep it. Equal extremes
    /// share the gradient evenly. Second derivatives of products with several zeros for one place leave those out, as PyTorch's do.
    ///
    /// ```
    /// use wgrad::{Device, ScatterReduction, Tensor};
    /// let device = Device::default();
    /// let (x, index) = (Tensor::ones([3], &device), Tensor::from_slice(&[0i64, 2, 0], [3], &device));
    /// let source = Tensor::from_slice(&[5f32, -6.0, 7.0], [3], &device);
    /// let y = x.scatter_reduce(0, &index, &source, ScatterReduction::Amax, true);
    /// assert_eq!(y.to_vec::<f32>()?, [7.0, 1.0, 1.0]);
    /// let y = x.scatter_reduce(0, &index, &source, ScatterReduction::Prod, false);
    /// assert_eq!(y.to_vec::<f32>()?, [35.0, 1.0, -6.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn scatter_reduce(
        &self,
        dim: isize,
        index: &Tensor,
        source: &Tensor,
        reduction: ScatterReduction,
        include_self: bool,
    ) -> Tensor {
        self.build(Location::caller(), |v| {
            let dim = v.shape().dim_of_at_least_one("scatter_reduce", dim)?;
            Ok(v.scatter_reduce(dim, &index.node(), &source.node(), reduction, include_self))
        })
    }

    /// Elements at the given indices along `dim`, as [`Tensor::gather`] takes them; sizes in other dims broadcast.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32, 1.0, 2.0, 4.0], [2, 2], &Device::cpu());
    /// let smallest = x.argmin(1, true);
    /// assert_eq!(x.take_along_dim(&smallest, 1).to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn take_along_dim(&self, index: &Tensor, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| v.take_along_dim(&index.node(), v.shape().dim("take_along_dim", dim)?))
    }

    /// How often each of `0..bins` occurs among these indices (i32 or u32, any shape), as i32; with `weights` of the same shape
    /// the sum of each one's weights, in their type.
    ///
    /// PyTorch makes as many bins as the largest index needs; here shapes do not depend on data, and an index of `bins` or more
    /// is an error when the counts are read.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1i32, 0, 1], [3], &Device::default());
    /// assert_eq!(x.bincount(None, 3).to_vec::<i32>()?, [1, 2, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn bincount(&self, weights: Option<&Tensor>, bins: usize) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.bincount(weights.map(Tensor::node).as_ref(), bins)))
    }
}
