//! Initial values of parameters.

use crate::backend::Device;
use crate::tensor::Tensor;

/// A parameter that begins uniform in `±1/√fan_in`: what PyTorch's `Linear` and convolutions begin with, weights (He et al. 2015
/// with a slope of √5) and biases alike.
#[track_caller]
pub(super) fn by_fan(shape: &[usize], fan_in: usize, device: &Device) -> Tensor {
    let bound = if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f32).sqrt() };
    Tensor::uniform(shape, -bound, bound, device).requires_grad()
}
