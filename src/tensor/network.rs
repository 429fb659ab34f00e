//! Linear algebra, softmax, indexing.

use std::panic::Location;

use crate::error::Result;
use crate::graph::Var;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// `f` along `dim`. A scalar counts as one element along dim 0, as in PyTorch.
fn along(v: &Var, op: &str, dim: isize, f: fn(&Var, usize) -> Var) -> Result<Var> {
    if v.shape().rank() == 0 && (-1..=0).contains(&dim) {
        return Ok(f(&v.reshape(&Shape::from([1])), 0).reshape(&Shape::scalar()));
    }
    Ok(f(v, v.shape().dim(op, dim)?))
}

impl Tensor {
    /// Matrix product. `[…, m, k] · […, k, n] = […, m, n]`; batch dims broadcast; a vector on the left counts as a row, on the
    /// right as a column, and its dim is dropped.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let a = Tensor::from_slice(&[1f32, 2., 3., 4.], [2, 2], &device);
    /// let x = Tensor::from_slice(&[1f32, -1.], [2], &device);
    /// assert_eq!(a.matmul(&x).to_vec::<f32>()?, [-1.0, -1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let other = other.narrowed();
        self.narrowed().build(Location::caller(), |v| Ok(v.matmul(&other.node())))
    }

    /// `x · wᵀ + bias` with `w` `[out, in]` and `bias` `[out]`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::from_slice(&[1f32, 2.0], [1, 2], &device);
    /// let w = Tensor::from_slice(&[1f32, 1.0, 0.0, 2.0], [2, 2], &device);
    /// let bias = Tensor::from_slice(&[10f32, 20.0], [2], &device);
    /// assert_eq!(x.linear(&w, Some(&bias)).to_vec::<f32>()?, [13.0, 24.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let (weight, bias) = (weight.narrowed(), bias.map(Tensor::narrowed));
        self.narrowed()
            .build(Location::caller(), |v| Ok(v.linear(&weight.node(), bias.as_ref().map(Tensor::node).as_ref())))
    }

    /// `e^x / Σ e^x` along `dim`, without overflow.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1000f32, 1000.0], [2], &Device::cpu());
    /// assert_eq!(x.softmax(0).to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn softmax(&self, dim: isize) -> Tensor {
        self.widened().build(Location::caller(), |v| along(v, "softmax", dim, Var::softmax))
    }

    /// `x − ln Σ e^x` along `dim`, without overflow.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &Device::cpu());
    /// let total = x.log_softmax(0).exp().sum().item::<f32>()?;
    /// assert!((total - 1.0).abs() < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn log_softmax(&self, dim: isize) -> Tensor {
        self.widened().build(Location::caller(), |v| along(v, "log_softmax", dim, Var::log_softmax))
    }

    /// Elements at the given indices along `dim`: `y[…, j, …] = x[…, index[…, j, …], …]`. `index` (i32 or u32) has this tensor's
    /// rank and is not larger in any other dim.
    ///
    /// An index out of range becomes [`crate::Error::IndexOutOfRange`] when the result, or what is computed from it, is read.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &device);
    /// let index = Tensor::from_slice(&[1i32, 0], [2, 1], &device);
    /// assert_eq!(x.gather(1, &index).to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn gather(&self, dim: isize, index: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.gather(v.shape().dim_of_at_least_one("gather", dim)?, &index.node())))
    }

    /// This tensor with `source` added at the given indices along `dim`, in a fixed order.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let index = Tensor::from_slice(&[0i32, 2, 0], [3], &device);
    /// let source = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &device);
    /// let y = Tensor::zeros([3], &device).scatter_add(0, &index, &source);
    /// assert_eq!(y.to_vec::<f32>()?, [4.0, 0.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn scatter_add(&self, dim: isize, index: &Tensor, source: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.scatter_add(v.shape().dim_of_at_least_one("scatter_add", dim)?, &index.node(), &source.node()))
        })
    }

    /// This tensor with the elements at the given indices along `dim` replaced by `source`; of several for one place the last
    /// wins.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let index = Tensor::from_slice(&[2i32, 0], [2], &device);
    /// let source = Tensor::from_slice(&[5f32, 6.0], [2], &device);
    /// let y = Tensor::zeros([3], &device).scatter(0, &index, &source);
    /// assert_eq!(y.to_vec::<f32>()?, [6.0, 0.0, 5.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn scatter(&self, dim: isize, index: &Tensor, source: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.scatter(v.shape().dim_of_at_least_one("scatter", dim)?, &index.node(), &source.node()))
        })
    }

    /// The slices at the given indices (rank 1, i32 or u32) along `dim`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::arange(0.0, 6.0, 1.0, &device).reshape([3, 2]);
    /// let index = Tensor::from_slice(&[2i32, 0], [2], &device);
    /// assert_eq!(x.index_select(0, &index).to_vec::<f32>()?, [4.0, 5.0, 0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn index_select(&self, dim: isize, index: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            Ok(v.index_select(v.shape().dim_of_at_least_one("index_select", dim)?, &index.node()))
        })
    }

    /// Rows of `weight` `[n, d]` at indices of any shape: `[…]` to `[…, d]`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let weight = Tensor::arange(0.0, 6.0, 1.0, &device).reshape([3, 2]);
    /// let index = Tensor::from_slice(&[2i32, 0], [2], &device);
    /// assert_eq!(Tensor::embedding(&weight, &index).to_vec::<f32>()?, [4.0, 5.0, 0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn embedding(weight: &Tensor, index: &Tensor) -> Tensor {
        weight.build(Location::caller(), |w| Ok(w.embedding(&index.node())))
    }

    /// 1 at each index (i32 or u32) along a new last dim of size `classes`, else 0, as f32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let labels = Tensor::from_slice(&[1i32, 0], [2], &Device::cpu());
    /// assert_eq!(labels.one_hot(3).to_vec::<f32>()?, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.one_hot(classes)))
    }

    /// The lower triangle of the last two dims up to the `k`-th diagonal; zeros above.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.tril(0).to_vec::<f32>()?, [1.0, 0.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn tril(&self, k: i32) -> Tensor {
        self.build(Location::caller(), |v| v.tril(k))
    }

    /// The upper triangle of the last two dims from the `k`-th diagonal on; zeros below.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu());
    /// assert_eq!(x.triu(0).to_vec::<f32>()?, [1.0, 2.0, 0.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn triu(&self, k: i32) -> Tensor {
        self.build(Location::caller(), |v| v.triu(k))
    }
}
