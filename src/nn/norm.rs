//! Normalisation.

use std::panic::Location;

use crate::backend::Device;
use crate::error::Error;
use crate::graph::no_grad;
use crate::nn::{Members, Mode, Module, Parameters};
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
            pub eps: f32,
            /// How far the running statistics move towards those of a batch.
            pub momentum: f32,
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
                    momentum: 0.1,
                    mode: Mode::new(),
                }
            }

            /// Sets what is added to variances.
            pub fn eps(self, eps: f32) -> $name {
                $name { eps, ..self }
            }

            /// Sets how far the running statistics move towards those of a batch.
            pub fn momentum(self, momentum: f32) -> $name {
                $name { momentum, ..self }
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
        }

        impl Module for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                if !matches!(x.rank(), $ranks) {
                    let detail = concat!("expects ", $expected);
                    let error = Error::shape(stringify!($name), detail, &[&x.shape().into()]);
                    return x.build(Location::caller(), |_| Err(error));
                }
                let (weight, bias) = (self.weight.as_ref(), self.bias.as_ref());
                let (mean, var) = (&self.running_mean, &self.running_var);
                let training = self.mode.training();
                let (y, new_mean, new_var) =
                    x.batch_norm(weight, bias, mean, var, training, self.momentum, self.eps);
                // An input that does not fit leaves the statistics as they are.
                if training && y.check().is_ok() {
                    mean.advance(&new_mean);
                    var.advance(&new_var);
                    self.num_batches_tracked.advance(&no_grad(|| self.num_batches_tracked.add(1)));
                }
                y
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
    /// let norm = BatchNorm1d::new(1, &device).eps(0.0);
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
    /// let y = BatchNorm2d::new(3, &device).forward(&(Tensor::randn([4, 3, 5, 5], &device) * 7.0 + 2.0));
    /// assert!(y.mean().item::<f32>()?.abs() < 1e-4);
    /// assert!((y.var(0).item::<f32>()? - 1.0).abs() < 1e-2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    BatchNorm2d 4 => "[N, C, H, W]";
}
