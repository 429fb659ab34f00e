//! Gradient clipping.

use crate::backend::Device;
use crate::dtype::DType;
use crate::graph::no_grad;
use crate::tensor::Tensor;

/// Scales the gradients so that their norm, taken over all of them together, is at most `max_norm`; returns the norm that they had. The
/// norm stays on the device: nothing is read, and captured steps may contain it. Sums are taken in f32 for f16 gradients.
/// (Pascanu et al. 2013, arXiv 1211.5063; PyTorch's `clip_grad_norm_`, which scales by `max_norm / (norm + 1e-6)` where that is below 1.)
///
/// ```
/// use wgrad::{Device, Tensor, optim};
/// let device = Device::default();
/// let (w, b) = (Tensor::ones([2], &device).requires_grad(), Tensor::ones([1], &device).requires_grad());
/// (w.sum() * 2.0 + b.sum()).backward()?;
/// let norm = optim::clip_grad_norm(&[w.clone(), b.clone()], 1.5);
/// assert_eq!(norm.item::<f32>()?, 3.0);
/// assert!((b.grad().unwrap().item::<f32>()? - 0.5).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// Parameters without a gradient count for nothing; 0 where none has one. An error that a gradient carries is carried by the
/// norm and by all gradients.
#[track_caller]
pub fn clip_grad_norm(parameters: &[Tensor], max_norm: f32) -> Tensor {
    no_grad(|| {
        let grads: Vec<(&Tensor, Tensor)> = parameters.iter().filter_map(|p| Some((p, p.grad()?))).collect();
        let squares = grads.iter().map(|(_, g)| wide(g).square().sum());
        let Some(total) = squares.reduce(|a, b| a + b) else {
            let device = parameters.first().map_or_else(Device::default, |p| p.device().clone());
            return Tensor::zeros((), &device);
        };
        let norm = total.sqrt();
        let factor = ((&norm + 1e-6).recip() * max_norm).clamp_max(1.0);
        for (p, g) in &grads {
            let factor = factor.to_dtype(g.dtype());
            p.set_grad(Some(&(g * &factor)));
        }
        norm
    })
}

/// An f16 tensor as f32.
fn wide(g: &Tensor) -> Tensor {
    if g.dtype() == DType::F16 { g.to_dtype(DType::F32) } else { g.clone() }
}

/// Cuts every element of the gradients to `-max_value ..= max_value`. (PyTorch's `clip_grad_value_`.)
///
/// ```
/// use wgrad::{Device, Tensor, optim};
/// let w = Tensor::from_slice(&[1f32, -4.0], [2], &Device::default()).requires_grad();
/// w.square().sum().backward()?;
/// optim::clip_grad_value(&[w.clone()], 3.0);
/// assert_eq!(w.grad().unwrap().to_vec::<f32>()?, [2.0, -3.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn clip_grad_value(parameters: &[Tensor], max_value: f32) {
    no_grad(|| {
        for p in parameters {
            if let Some(g) = p.grad() {
                p.set_grad(Some(&g.clamp(-max_value, max_value)));
            }
        }
    });
}
