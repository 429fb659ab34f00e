//! What layers of networks are made of beside the ops of their own files: dropout, gates, similarities.

use std::panic::Location;

use crate::error::Error;
use crate::graph::Var;
use crate::ops::routine::expect_float;
use crate::tensor::Tensor;

impl Tensor {
    /// In training, each element becomes 0 with probability `p`, the others are divided by `1 - p`, so that means stay (Srivastava
    /// et al. 2014). Otherwise the same values. The mask comes from the device's generator: equal seeds give equal masks.
    ///
    /// Carries [`crate::Error::Argument`] where `p` is not in `0..=1`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([1000], &Device::default());
    /// assert_eq!(x.dropout(0.5, false).sum().item::<f32>()?, 1000.0);
    /// let kept = x.dropout(0.5, true).to_vec::<f32>()?;
    /// assert!(kept.iter().all(|&v| v == 0.0 || v == 2.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn dropout(&self, p: impl Into<f64>, training: bool) -> Tensor {
        self.drop_blocks("dropout", p.into(), training, self.rank())
    }

    /// Dropout of whole channels of `[batch, channels, …]` (Tompson et al. 2015); the rest as [`Tensor::dropout`].
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::ones([2, 3, 4], &Device::cpu());
    /// let sums = x.feature_dropout(0.5, true).sum_dims(&[2], false).to_vec::<f32>()?;
    /// assert!(sums.iter().all(|&v| v == 0.0 || v == 8.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn feature_dropout(&self, p: impl Into<f64>, training: bool) -> Tensor {
        self.drop_blocks("feature_dropout", p.into(), training, 2)
    }

    /// Dropout where the elements of the first `dims` dims share their fate.
    #[track_caller]
    fn drop_blocks(&self, op: &str, p: f64, training: bool, dims: usize) -> Tensor {
        self.build(Location::caller(), |v| {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::argument(op, format!("probability {p} is not in 0..=1")));
            }
            if dims > v.shape().rank() {
                return Err(Error::shape(op, "needs [batch, channels, …]", &[v.shape()]));
            }
            expect_float(op, v.dtype())?;
            if !training || p == 0.0 {
                return Ok(v.clone());
            }
            let zero = v.scalar_like(0.0);
            if p == 1.0 {
                return Ok(v * &zero);
            }
            let shape: Vec<usize> = v.shape().iter().enumerate().map(|(d, &n)| if d < dims { n } else { 1 }).collect();
            let keep = 1.0 - v.number(p);
            let mask = Var::generate_bernoulli(&shape[..], keep, self.device().next_key(), &v.0.context);
            Ok(mask.where_(&(v * (1.0 / keep)), &zero))
        })
    }

    /// Gated linear unit: the first half along `dim` times the sigmoid of the second (Dauphin et al. 2017). The size of `dim` must
    /// be even.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[2f32, 4.0, 0.0, 0.0], [4], &Device::cpu());
    /// assert_eq!(x.glu(0).to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn glu(&self, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let dim = v.shape().dim("glu", dim)?;
            let size = v.shape()[dim];
            if !size.is_multiple_of(2) {
                return Err(Error::shape("glu", format!("the size {size} of dim {dim} is odd"), &[v.shape()]));
            }
            let half = |start: usize| v.slice(dim, start, 1, size / 2);
            Ok(half(0) * half(size / 2).sigmoid())
        })
    }

    /// `x` where `x > 0`, else `weight · x`; `weight` has one element, or one per channel of `[batch, channels, …]` (He et al. 2015).
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::from_slice(&[-2f32, 3.0], [2], &device);
    /// let weight = Tensor::from_slice(&[0.5f32], [1], &device);
    /// assert_eq!(x.prelu(&weight).to_vec::<f32>()?, [-1.0, 3.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn prelu(&self, weight: &Tensor) -> Tensor {
        self.build(Location::caller(), |v| {
            let w = weight.node();
            w.check()?;
            let count = w.shape().numel();
            let channels = v.shape().get(1).copied();
            if w.shape().rank() > 1 || (count != 1 && Some(count) != channels) {
                let detail = "the weight must have one element, or one a channel (dim 1)";
                return Err(Error::shape("prelu", detail, &[v.shape(), w.shape()]));
            }
            let shape: Vec<usize> = match count {
                1 => Vec::new(),
                n => (1..v.shape().rank()).map(|d| if d == 1 { n } else { 1 }).collect(),
            };
            let slope = w.reshape(&shape.as_slice().into());
            Ok(v.gt(&v.scalar_like(0.0)).where_(v, &(v * slope)))
        })
    }

    /// Softmax of the negated elements along `dim`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::zeros([2], &Device::cpu());
    /// assert_eq!(x.softmin(0).to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn softmin(&self, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| Ok((-v).softmax(v.shape().dim("softmin", dim)?)))
    }

    /// Cosine of the angle between vectors along `dim`: `a·b / (max(‖a‖, ε) max(‖b‖, ε))` with ε = 1e-8. The other dims broadcast.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let a = Tensor::from_slice(&[3f32, 4.0, 1.0, 0.0], [2, 2], &device);
    /// let b = Tensor::from_slice(&[3f32, 4.0, 0.0, 1.0], [2, 2], &device);
    /// let y = a.cosine_similarity(&b, 1).to_vec::<f32>()?;
    /// assert!((y[0] - 1.0).abs() < 1e-5 && y[1].abs() < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Tensor, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| {
            let other = other.node();
            other.check()?;
            let shape = v.shape().broadcast("cosine_similarity", other.shape())?;
            Ok(v.cosine_similarity(&other, shape.dim("cosine_similarity", dim)?))
        })
    }

    /// The p-norm of `a − b + 1e-6` along the last dim.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let a = Tensor::from_slice(&[3f32, 4.0], [1, 2], &device);
    /// let distance = a.pairwise_distance(&Tensor::zeros([1, 2], &device), 2.0).item::<f32>()?;
    /// assert!((distance - 5.0).abs() < 1e-4);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Tensor, p: impl Into<f64>) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.pairwise_distance(&other.node(), v.number(p))))
    }

    /// This divided by its p-norm along `dim`, or by 1e-12 where that is larger.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[3f32, 4.0], [2], &Device::cpu());
    /// let y = x.normalize(2.0, 0).to_vec::<f32>()?;
    /// assert!((y[0] - 0.6).abs() < 1e-5 && (y[1] - 0.8).abs() < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn normalize(&self, p: impl Into<f64>, dim: isize) -> Tensor {
        self.build(Location::caller(), |v| Ok(v.normalize(v.number(p), v.shape().dim("normalize", dim)?)))
    }
}
