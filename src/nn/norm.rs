//! Normalisation.

use std::panic::Location;

use crate::backend::Device;
use crate::error::Error;
use crate::graph::no_grad;
use crate::nn::module::{Sizes, enter, size};
use crate::nn::summary::seen;
use crate::nn::{Members, MembersMut, Mode, Module, Parameters};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// What batch norm keeps and does, whatever the input's dims.
macro_rules! batch_norm {
    ($($(#[$doc:meta])* $name:ident $ranks:pat => $expected:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            /// `[channels]`, begins at 1; none without an affine map.
            pub weight: Option<Tensor>,
            /// `[channels]`, begins at 0; none without an affine map.
            pub bias: Option<Tensor>,
            /// `[channels]`: running mean, a buffer that begins at 0.
            pub running_mean: Tensor,
            /// `[channels]`: running (unbiased) variance, a buffer that begins at 1.
            pub running_var: Tensor,
            /// How many batches the running statistics have seen: a buffer, i32 of shape `[]`.
            pub num_batches_tracked: Tensor,
            /// Added to variances.
            pub eps: f64,
            /// How far the running statistics move towards those of a batch; with `None` they are the mean over all batches so far.
            pub momentum: Option<f64>,
            /// Training or evaluation.
            pub mode: Mode,
        }

        impl $name {
            /// For so many channels, with ε = 1e-5 and a momentum of 0.1.
            #[track_caller]
            pub fn new(channels: usize, device: &Device) -> $name {
                $name {
                    weight: Some(Tensor::ones([channels], device).requires_grad()),
                    bias: Some(Tensor::zeros([channels], device).requires_grad()),
                    running_mean: Tensor::from_slice(&vec![0f32; channels], [channels], device),
                    running_var: Tensor::from_slice(&vec![1f32; channels], [channels], device),
                    num_batches_tracked: Tensor::from_slice(&[0i32], [], device),
                    eps: 1e-5,
                    momentum: Some(0.1),
                    mode: Mode::new(),
                }
            }

            /// Sets what is added to variances.
            pub fn eps(self, eps: impl Into<f64>) -> $name {
                $name { eps: eps.into(), ..self }
            }

            /// Sets how far the running statistics move towards those of a batch; `None` for the mean over all batches so far.
            pub fn momentum(self, momentum: impl Into<Option<f64>>) -> $name {
                $name { momentum: momentum.into(), ..self }
            }

            /// The same without weight and bias.
            pub fn without_affine(self) -> $name {
                $name { weight: None, bias: None, ..self }
            }
        }

        impl Parameters for $name {
            fn members(&self, members: &mut Members) {
                members.add("weight", &self.weight);
                members.add("bias", &self.bias);
                members.add("running_mean", &self.running_mean);
                members.add("running_var", &self.running_var);
                members.add("num_batches_tracked", &self.num_batches_tracked);
                members.add("mode", &self.mode);
            }

            fn members_mut(&mut self, members: &mut MembersMut) {
                members.add(&mut self.weight);
                members.add(&mut self.bias);
                members.add(&mut self.running_mean);
                members.add(&mut self.running_var);
                members.add(&mut self.num_batches_tracked);
                members.add(&mut self.mode);
            }
        }

        impl Module for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let _layer = enter::<Self>(format_args!("{}", size(&self.running_mean, 0)));
                if !matches!(x.rank(), $ranks) {
                    let detail = concat!("expects ", $expected);
                    let error = Error::shape(stringify!($name), detail, &[&x.shape().into()]);
                    return x.build(Location::caller(), |_| Err(error));
                }
                let (weight, bias) = (self.weight.as_ref(), self.bias.as_ref());
                let (mean, var) = (&self.running_mean, &self.running_var);
                let training = self.mode.training();
                let (y, mut new_mean, mut new_var) =
                    x.batch_norm(weight, bias, mean, var, training, self.momentum.unwrap_or(1.0), self.eps);
                // An input that does not fit leaves the statistics as they are.
                if training && y.check().is_ok() {
                    let count = no_grad(|| self.num_batches_tracked.add(1));
                    if self.momentum.is_none() {
                        // What has come is the batch's own; the mean moves by one part in `count` towards it.
                        let share = no_grad(|| count.to_dtype(mean.dtype()).recip());
                        new_mean = no_grad(|| mean + (&new_mean - mean) * &share);
                        new_var = no_grad(|| var + (&new_var - var) * &share);
                    }
                    mean.advance(&new_mean);
                    var.advance(&new_var);
                    // A batch that does not count for the statistics does not count here.
                    self.num_batches_tracked.advance(&count.together(&[new_mean.node()]));
                }
                seen(Some(&self.running_mean), y)
            }
        }
    )*};
}

batch_norm! {
    /// Batch norm of `[N, C]` or `[N, C, L]` (Ioffe & Szegedy 2015); see [`Tensor::batch_norm`].
    ///
    /// In training a forward pass moves the running statistics, which evaluation uses.
    ///
    /// ```
    /// use wgrad::nn::{BatchNorm1d, Module, Parameters};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let norm = BatchNorm1d::new(1, &device).eps(0.0).momentum(0.1);
    /// let x = Tensor::from_slice(&[1f32, 3.0], [2, 1], &device);
    /// assert_eq!(norm.forward(&x).to_vec::<f32>()?, [-1.0, 1.0]);
    /// assert!((norm.running_mean.item::<f32>()? - 0.2).abs() < 1e-6);
    /// assert!((norm.running_var.item::<f32>()? - 1.1).abs() < 1e-6);
    /// assert_eq!(norm.num_batches_tracked.item::<i32>()?, 1);
    /// norm.eval();
    /// assert!((norm.forward(&x).to_vec::<f32>()?[0] - 0.8 / 1.1f32.sqrt()).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    BatchNorm1d 2 | 3 => "[N, C] or [N, C, L]";
    /// Batch norm of `[N, C, H, W]` (Ioffe & Szegedy 2015); see [`Tensor::batch_norm`] and [`BatchNorm1d`].
    ///
    /// ```
    /// use wgrad::nn::{BatchNorm2d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let norm = BatchNorm2d::new(3, &device).eps(1e-3).momentum(0.01);
    /// let y = norm.forward(&(Tensor::randn([4, 3, 5, 5], &device) * 7.0 + 2.0));
    /// assert!(y.mean().item::<f32>()?.abs() < 1e-4);
    /// assert!((y.var(0.0).item::<f32>()? - 1.0).abs() < 1e-2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    BatchNorm2d 4 => "[N, C, H, W]";
    /// Batch norm of `[N, C, D, H, W]` (Ioffe & Szegedy 2015); see [`Tensor::batch_norm`] and [`BatchNorm1d`].
    ///
    /// ```
    /// use wgrad::nn::{BatchNorm3d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let norm = BatchNorm3d::new(2, &device).eps(1e-6).momentum(None); // statistics over all batches
    /// let x = Tensor::from_slice(&[1f32, 3.0, 0.0, 8.0], [2, 2, 1, 1, 1], &device);
    /// assert_eq!(norm.forward(&x).shape(), x.shape());
    /// norm.forward(&(x * 3.0));
    /// assert_eq!(norm.running_mean.to_vec::<f32>()?, [1.0, 11.0]); // the mean of (0.5, 5.5) and of (1.5, 16.5)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    BatchNorm3d 5 => "[N, C, D, H, W]";
}

/// Layer norm over the last dims (Ba, Kiros & Hinton 2016); see [`Tensor::layer_norm`].
///
/// ```
/// use wgrad::nn::{LayerNorm, Module};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let x = Tensor::randn([4, 5, 10], &device) * 3.0 + 1.0;
/// let y = LayerNorm::new(10, &device).forward(&x);
/// assert!(y.mean_dims(&[-1], false).abs().max().item::<f32>()? < 1e-5);
/// assert_eq!(LayerNorm::new([5, 10], &device).weight.unwrap().shape(), [5, 10]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Of the shape that is normalised over, begins at 1; none without an affine map.
    pub weight: Option<Tensor>,
    /// Of the shape that is normalised over, begins at 0; none without an affine map.
    pub bias: Option<Tensor>,
    /// How many dims are normalised over, from the last.
    pub dims: usize,
    /// Added to variances.
    pub eps: f64,
}

impl LayerNorm {
    /// Over the last dims, which have this shape, with ε = 1e-5.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>, device: &Device) -> LayerNorm {
        let shape = shape.into();
        LayerNorm {
            dims: shape.rank(),
            weight: Some(Tensor::ones(shape.clone(), device).requires_grad()),
            bias: Some(Tensor::zeros(shape, device).requires_grad()),
            eps: 1e-5,
        }
    }

    /// Sets what is added to variances.
    pub fn eps(self, eps: impl Into<f64>) -> LayerNorm {
        LayerNorm { eps: eps.into(), ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }

    /// The same without weight and bias; only the number of dims counts then.
    pub fn without_affine(self) -> LayerNorm {
        LayerNorm { weight: None, bias: None, ..self }
    }
}

impl Parameters for LayerNorm {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
        members.add("bias", &self.bias);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
        members.add(&mut self.bias);
    }
}

impl Module for LayerNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let shape = self.weight.as_ref().map_or(&[][..], Tensor::shape);
        let _layer = enter::<Self>(format_args!("{}", Sizes(shape)));
        let y = x.layer_norm_dims(self.dims, self.weight.as_ref(), self.bias.as_ref(), self.eps);
        seen(self.weight.as_ref(), y)
    }
}

/// RMS norm over the last dim (Zhang & Sennrich 2019); see [`Tensor::rms_norm`].
///
/// ```
/// use wgrad::nn::{Module, RmsNorm};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let y = RmsNorm::new(8, &device).forward(&Tensor::randn([4, 8], &device));
/// assert!((y.square().mean().item::<f32>()? - 1.0).abs() < 1e-4);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// Of the shape that is normalised over, the last dims; begins at 1.
    pub weight: Tensor,
    /// Added to mean squares.
    pub eps: f64,
}

impl RmsNorm {
    /// Over the last dims, which have this shape (one size for the last dim alone), with the spacing of floats at 1, 1.19e-7, as ε.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>, device: &Device) -> RmsNorm {
        RmsNorm { weight: Tensor::ones(shape, device).requires_grad(), eps: f64::from(f32::EPSILON) }
    }

    /// Sets what is added to mean squares.
    pub fn eps(self, eps: impl Into<f64>) -> RmsNorm {
        RmsNorm { eps: eps.into(), ..self }
    }
}

impl Parameters for RmsNorm {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
    }
}

impl Module for RmsNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!("{}", Sizes(self.weight.shape())));
        seen(Some(&self.weight), x.rms_norm_dims(self.weight.rank(), &self.weight, self.eps))
    }
}

/// Group norm of `[N, C, …]` (Wu & He 2018); see [`Tensor::group_norm`].
///
/// ```
/// use wgrad::nn::{GroupNorm, Module};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let x = Tensor::randn([2, 6, 4, 4], &device);
/// assert_eq!(GroupNorm::new(3, 6, &device).forward(&x).shape(), x.shape());
/// assert!(GroupNorm::new(4, 6, &device).forward(&x).check().is_err());
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// `[channels]`, begins at 1; none without an affine map.
    pub weight: Option<Tensor>,
    /// `[channels]`, begins at 0; none without an affine map.
    pub bias: Option<Tensor>,
    /// Groups of channels that are normalised together.
    pub groups: usize,
    /// Added to variances.
    pub eps: f64,
}

impl GroupNorm {
    /// So many channels in so many groups, with ε = 1e-5.
    #[track_caller]
    pub fn new(groups: usize, channels: usize, device: &Device) -> GroupNorm {
        GroupNorm {
            weight: Some(Tensor::ones([channels], device).requires_grad()),
            bias: Some(Tensor::zeros([channels], device).requires_grad()),
            groups,
            eps: 1e-5,
        }
    }

    /// Sets what is added to variances.
    pub fn eps(self, eps: impl Into<f64>) -> GroupNorm {
        GroupNorm { eps: eps.into(), ..self }
    }

    /// The same without weight and bias.
    pub fn without_affine(self) -> GroupNorm {
        GroupNorm { weight: None, bias: None, ..self }
    }
}

impl Parameters for GroupNorm {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
        members.add("bias", &self.bias);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
        members.add(&mut self.bias);
    }
}

impl Module for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!("of {} groups", self.groups));
        let y = x.group_norm(self.groups, self.weight.as_ref(), self.bias.as_ref(), self.eps);
        seen(self.weight.as_ref(), y)
    }
}

/// Instance norm of `[N, C, …]` (Ulyanov, Vedaldi & Lempitsky 2016), without an affine map unless asked for; see
/// [`Tensor::instance_norm`]. PyTorch's `InstanceNorm1d` to `3d`.
///
/// ```
/// use wgrad::nn::{InstanceNorm, Module, Parameters};
/// use wgrad::{Device, Tensor};
/// let device = Device::default();
/// let y = InstanceNorm::new().forward(&Tensor::randn([2, 3, 4, 4], &device));
/// assert!(y.select(0, 1).select(0, 2).mean().item::<f32>()?.abs() < 1e-5);
/// assert_eq!(InstanceNorm::with_affine(3, &device).parameters().len(), 2);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    /// `[channels]`, begins at 1; none without an affine map.
    pub weight: Option<Tensor>,
    /// `[channels]`, begins at 0; none without an affine map.
    pub bias: Option<Tensor>,
    /// Added to variances.
    pub eps: f64,
}

impl InstanceNorm {
    /// For any number of channels, with ε = 1e-5.
    pub fn new() -> InstanceNorm {
        InstanceNorm { weight: None, bias: None, eps: 1e-5 }
    }

    /// With a weight and a bias for each of so many channels.
    #[track_caller]
    pub fn with_affine(channels: usize, device: &Device) -> InstanceNorm {
        InstanceNorm {
            weight: Some(Tensor::ones([channels], device).requires_grad()),
            bias: Some(Tensor::zeros([channels], device).requires_grad()),
            ..InstanceNorm::new()
        }
    }

    /// Sets what is added to variances.
    pub fn eps(self, eps: impl Into<f64>) -> InstanceNorm {
        InstanceNorm { eps: eps.into(), ..self }
    }
}

impl Default for InstanceNorm {
    fn default() -> InstanceNorm {
        InstanceNorm::new()
    }
}

impl Parameters for InstanceNorm {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
        members.add("bias", &self.bias);
    }

    fn members_mut(&mut self, members: &mut MembersMut) {
        members.add(&mut self.weight);
        members.add(&mut self.bias);
    }
}

impl Module for InstanceNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let _layer = enter::<Self>(format_args!("{}", Sizes(self.weight.as_ref().map_or(&[][..], Tensor::shape))));
        seen(self.weight.as_ref(), x.instance_norm(self.weight.as_ref(), self.bias.as_ref(), self.eps))
    }
}
