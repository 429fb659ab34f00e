//! Convolutions.

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::nn::init;
use crate::nn::{Members, Module, Parameters};
use crate::ops::conv::Conv;
use crate::ops::per_dim::PerDim;
use crate::tensor::Tensor;

/// Convolution over two spatial dims: `[N, in, H, W]` to `[N, out, H', W']`; see [`Tensor::conv2d`].
///
/// `weight` is `[out, in / groups, kh, kw]`, `bias` `[out]`; both begin uniform in `±1/√(in / groups · kh · kw)`.
///
/// ```
/// use wgrad::nn::{Conv2d, Module};
/// use wgrad::{Conv, Device, Tensor};
/// let device = Device::default();
/// let x = Tensor::randn([1, 4, 8, 8], &device);
/// assert_eq!(Conv2d::new(4, 6, 3, &device).padding(1).stride(2).forward(&x).shape(), [1, 6, 4, 4]);
/// let grouped = Conv2d::new_with(4, 6, [3, 1], Conv::default().groups(2), &device).without_bias();
/// assert_eq!(grouped.weight.shape(), [6, 2, 3, 1]);
/// assert_eq!(grouped.forward(&x).shape(), [1, 6, 6, 8]);
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kh, kw]`.
    pub weight: Tensor,
    /// `[out]`, if any.
    pub bias: Option<Tensor>,
    /// Stride, padding, dilation, groups.
    pub options: Conv,
}

impl Conv2d {
    /// A layer with a bias; `kernel` is one size, or one for each dim.
    #[track_caller]
    pub fn new(in_channels: usize, out_channels: usize, kernel: impl Into<PerDim>, device: &Device) -> Conv2d {
        Conv2d::new_with(in_channels, out_channels, kernel, Conv::default(), device)
    }

    /// [`Conv2d::new`] with options; groups can be given here only, since the weight's shape depends on them.
    #[track_caller]
    pub fn new_with(
        in_channels: usize,
        out_channels: usize,
        kernel: impl Into<PerDim>,
        options: Conv,
        device: &Device,
    ) -> Conv2d {
        let kernel = kernel.into();
        let (weight, bias) = parameters("Conv2d", 2, in_channels, out_channels, kernel, options.groups, device);
        Conv2d { weight, bias: Some(bias), options }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Conv2d {
        Conv2d { bias: None, ..self }
    }

    /// Sets the stride: one number, or one for each spatial dim.
    pub fn stride(self, stride: impl Into<PerDim>) -> Conv2d {
        Conv2d { options: self.options.stride(stride), ..self }
    }

    /// Sets the padding: one number, or one for each spatial dim.
    pub fn padding(self, padding: impl Into<PerDim>) -> Conv2d {
        Conv2d { options: self.options.padding(padding), ..self }
    }

    /// Sets the dilation: one number, or one for each spatial dim.
    pub fn dilation(self, dilation: impl Into<PerDim>) -> Conv2d {
        Conv2d { options: self.options.dilation(dilation), ..self }
    }
}

impl Parameters for Conv2d {
    fn members(&self, members: &mut Members) {
        members.add("weight", &self.weight);
        members.add("bias", &self.bias);
    }
}

impl Module for Conv2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.weight, self.bias.as_ref(), self.options)
    }
}

/// Weight and bias; they carry an error where the sizes do not fit.
#[track_caller]
fn parameters(
    name: &str,
    dims: usize,
    inputs: usize,
    outputs: usize,
    kernel: PerDim,
    groups: usize,
    device: &Device,
) -> (Tensor, Tensor) {
    let checked = || -> Result<Vec<usize>> {
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let detail = format!("{inputs} input and {outputs} output channels do not fall into {groups} groups");
            return Err(Error::argument(name, detail));
        }
        let sizes = kernel.resolve(name, "kernel", dims, 1)?;
        Ok([&[outputs, inputs / groups], &sizes[sizes.len() - dims..]].concat())
    };
    match checked() {
        Ok(shape) => {
            let fan_in = shape[1..].iter().product();
            (init::by_fan(&shape, fan_in, device), init::by_fan(&[outputs], fan_in, device))
        }
        Err(error) => {
            let at = Location::caller();
            let failed = Tensor::zeros([0], device).build(at, |_| Err(error)).requires_grad();
            (failed.clone(), failed)
        }
    }
}
