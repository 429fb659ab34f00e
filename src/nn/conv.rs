//! Convolutions.

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::nn::init;
use crate::nn::module::{Sizes, enter};
use crate::nn::summary::seen;
use crate::nn::{Members, MembersMut, Module, Parameters};
use crate::ops::conv::{Conv, ConvTranspose, Padding};
use crate::ops::per_dim::PerDim;
use crate::tensor::Tensor;

/// A layer: name, its options, method of [`Tensor`], spatial dims, and what its parameters are.
macro_rules! convolution {
    ($(#[$doc:meta])* $name:ident($options:ident) $method:ident $dims:literal $weight_shape:literal, transposed $transposed:literal $grouped:literal,
        builders $($builder:ident: $kind:ident)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            #[doc = $weight_shape]
            pub weight: Tensor,
            /// `[out]`, if any.
            pub bias: Option<Tensor>,
            /// Stride, padding and the rest.
            pub options: $options,
        }

        impl $name {
            /// A layer with a bias; `kernel` is one size, or one for each dim.
            #[track_caller]
            pub fn new(in_channels: usize, out_channels: usize, kernel: impl Into<PerDim>, device: &Device) -> $name {
                $name::new_with(in_channels, out_channels, kernel, $options::default(), device)
            }

            /// The same with options.
            ///
            /// The parameters carry an error where the channels do not fall into the groups or the kernel has a wrong number
            /// of sizes.
            #[track_caller]
            pub fn new_with(
                in_channels: usize,
                out_channels: usize,
                kernel: impl Into<PerDim>,
                options: $options,
                device: &Device,
            ) -> $name {
                let shape =
                    weight_shape(stringify!($name), $dims, [in_channels, out_channels], kernel.into(), options.groups, $transposed);
                let (weight, bias) = parameters(shape, out_channels, device);
                $name { weight, bias: Some(bias), options }
            }

            /// Lets the channels fall into `groups`. The weight's shape depends on them, so the parameters are drawn anew, in place of the first
            /// ones. The parameters carry an error where the channels do not fall into the groups.
            #[track_caller]
            pub fn groups(self, groups: usize) -> $name {
                let (weight, device) = (&self.weight, self.weight.device());
                if weight.check().is_err() || weight.rank() != $dims + 2 {
                    return $name { options: self.options.groups(groups), ..self };
                }
                let (first, second, before) = (weight.shape()[0], weight.shape()[1], self.options.groups);
                let (inputs, outputs) = if $transposed { (first, second * before) } else { (second * before, first) };
                let kernel = PerDim::from(&weight.shape()[2..]);
                let drawn = $name::new_with(inputs, outputs, kernel, self.options.groups(groups), device);
                if self.bias.is_some() { drawn } else { drawn.without_bias() }
            }

            /// The same without a bias.
            pub fn without_bias(self) -> $name {
                $name { bias: None, ..self }
            }

            $(
                #[doc = concat!("Sets `", stringify!($builder), "`: one number, or one for each spatial dim.")]
                pub fn $builder(self, $builder: impl Into<$kind>) -> $name {
                    $name { options: self.options.$builder($builder), ..self }
                }
            )*
        }

        impl Parameters for $name {
            fn members(&self, members: &mut Members) {
                members.add("weight", &self.weight);
                members.add("bias", &self.bias);
            }

            fn members_mut(&mut self, members: &mut MembersMut) {
                members.add(&mut self.weight);
                members.add(&mut self.bias);
            }
        }

        impl Module for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                let (w, groups) = (self.weight.shape(), self.options.groups);
                let (inputs, outputs) = match ($transposed, w) {
                    (true, [inputs, outputs, ..]) => (*inputs, outputs * groups),
                    (false, [outputs, inputs, ..]) => (inputs * groups, *outputs),
                    _ => (0, 0),
                };
                let kernel = Sizes(w.get(2..).unwrap_or_default());
                let _layer = enter::<Self>(format_args!("{inputs}→{outputs}, kernel {kernel}"));
                seen(Some(&self.weight), x.$method(&self.weight, self.bias.as_ref(), self.options))
            }
        }
    };
}

convolution! {
    /// Convolution over one spatial dim: `[N, in, L]` to `[N, out, L']`; see [`Tensor::conv1d`]. Parameters begin as in
    /// [`Conv2d`].
    ///
    /// ```
    /// use wgrad::nn::{Conv1d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = Conv1d::new(4, 6, 5, &device).stride(2).padding(4).dilation(2);
    /// assert_eq!(layer.forward(&Tensor::randn([2, 4, 10], &device)).shape(), [2, 6, 5]);
    /// ```
    Conv1d(Conv) conv1d 1 "`[out, in / groups, k]`.", transposed false "[6, 2]", builders stride: PerDim padding: Padding dilation: PerDim
}

convolution! {
    /// Convolution over two spatial dims: `[N, in, H, W]` to `[N, out, H', W']`; see [`Tensor::conv2d`].
    ///
    /// Weight and bias begin uniform in `±1/√(in / groups · kh · kw)`.
    ///
    /// ```
    /// use wgrad::nn::{Conv2d, Module};
    /// use wgrad::{Device, Padding, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::randn([1, 4, 8, 8], &device);
    /// assert_eq!(Conv2d::new(4, 6, 3, &device).padding(1).stride(2).forward(&x).shape(), [1, 6, 4, 4]);
    /// assert_eq!(Conv2d::new(4, 6, 4, &device).padding(Padding::Same).forward(&x).shape(), [1, 6, 8, 8]);
    /// let grouped = Conv2d::new(4, 6, [3, 1], &device).groups(2).without_bias();
    /// assert_eq!(grouped.weight.shape(), [6, 2, 3, 1]);
    /// assert_eq!(grouped.forward(&x).shape(), [1, 6, 6, 8]);
    /// ```
    Conv2d(Conv) conv2d 2 "`[out, in / groups, kh, kw]`.", transposed false "[6, 2]", builders stride: PerDim padding: Padding dilation: PerDim
}

convolution! {
    /// Convolution over three spatial dims: `[N, in, D, H, W]` to `[N, out, D', H', W']`; see [`Tensor::conv3d`]. Parameters
    /// begin as in [`Conv2d`].
    ///
    /// ```
    /// use wgrad::nn::{Conv3d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = Conv3d::new(1, 2, [1, 3, 3], &device).stride([1, 2, 2]).padding([0, 2, 2]).dilation([1, 2, 2]);
    /// assert_eq!(layer.forward(&Tensor::randn([1, 1, 4, 5, 5], &device)).shape(), [1, 2, 4, 3, 3]);
    /// ```
    Conv3d(Conv) conv3d 3 "`[out, in / groups, kd, kh, kw]`.", transposed false "[6, 2]", builders stride: PerDim padding: Padding dilation: PerDim
}

convolution! {
    /// Transposed convolution over one spatial dim: `[N, in, L]` to `[N, out, L']`; see [`Tensor::conv_transpose1d`].
    /// Parameters begin as in [`ConvTranspose2d`].
    ///
    /// ```
    /// use wgrad::nn::{ConvTranspose1d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = ConvTranspose1d::new(4, 6, 4, &device).stride(2).padding(1).output_padding(1).dilation(2);
    /// assert_eq!(layer.forward(&Tensor::randn([2, 4, 5], &device)).shape(), [2, 6, 14]);
    /// ```
    ConvTranspose1d(ConvTranspose) conv_transpose1d 1 "`[in, out / groups, k]`.", transposed true "[4, 3]",
    builders stride: PerDim padding: PerDim output_padding: PerDim dilation: PerDim
}

convolution! {
    /// Transposed convolution over two spatial dims: `[N, in, H, W]` to `[N, out, H', W']`; see
    /// [`Tensor::conv_transpose2d`].
    ///
    /// Weight and bias begin uniform in `±1/√(out / groups · kh · kw)`.
    ///
    /// ```
    /// use wgrad::nn::{ConvTranspose2d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = ConvTranspose2d::new(8, 3, 3, &device).stride(2).padding(1).output_padding(1);
    /// assert_eq!(layer.weight.shape(), [8, 3, 3, 3]);
    /// let x = Tensor::randn([2, 8, 7, 7], &device);
    /// assert_eq!(layer.forward(&x).shape(), [2, 3, 14, 14]);
    /// assert_eq!(ConvTranspose2d::new(8, 3, 3, &device).dilation(2).forward(&x).shape(), [2, 3, 11, 11]);
    /// ```
    ConvTranspose2d(ConvTranspose) conv_transpose2d 2 "`[in, out / groups, kh, kw]`.", transposed true "[4, 3]",
    builders stride: PerDim padding: PerDim output_padding: PerDim dilation: PerDim
}

convolution! {
    /// Transposed convolution over three spatial dims: `[N, in, D, H, W]` to `[N, out, D', H', W']`; see
    /// [`Tensor::conv_transpose3d`]. Parameters begin as in [`ConvTranspose2d`].
    ///
    /// ```
    /// use wgrad::nn::{ConvTranspose3d, Module};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let layer = ConvTranspose3d::new(2, 1, 2, &device).stride(2).padding(1).output_padding(1).dilation(2);
    /// assert_eq!(layer.forward(&Tensor::randn([1, 2, 3, 3, 3], &device)).shape(), [1, 1, 6, 6, 6]);
    /// ```
    ConvTranspose3d(ConvTranspose) conv_transpose3d 3 "`[in, out / groups, kd, kh, kw]`.", transposed true "[4, 3]",
    builders stride: PerDim padding: PerDim output_padding: PerDim dilation: PerDim
}

/// The weight's shape: `[out, in / groups, kernel…]`, or `[in, out / groups, kernel…]` where transposed.
fn weight_shape(
    name: &str,
    dims: usize,
    [inputs, outputs]: [usize; 2],
    kernel: PerDim,
    groups: usize,
    transposed: bool,
) -> Result<Vec<usize>> {
    if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
        let detail = format!("{inputs} input and {outputs} output channels do not fall into {groups} groups");
        return Err(Error::argument(name, detail));
    }
    let sizes = kernel.resolve(name, "kernel", dims, 1)?;
    let channels = if transposed { [inputs, outputs / groups] } else { [outputs, inputs / groups] };
    Ok([&channels[..], &sizes[sizes.len() - dims..]].concat())
}

/// Weight and bias, by what each output (of the convolution that a transposed one transposes) sums up.
#[track_caller]
fn parameters(shape: Result<Vec<usize>>, outputs: usize, device: &Device) -> (Tensor, Tensor) {
    match shape {
        Ok(shape) => {
            let fan_in = shape[1..].iter().product();
            (init::by_fan(&shape, fan_in, device), init::by_fan(&[outputs], fan_in, device))
        }
        Err(error) => {
            let failed = init::failed(error, device, Location::caller());
            (failed.clone(), failed)
        }
    }
}
