//! Gradient clipping.

use std::panic::Location;

use crate::backend::Device;
use crate::dtype::DType;
use crate::error::Error;
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
/// norm and by all gradients; so is [`Error::Argument`] where `max_norm` is negative or NaN.
#[track_caller]
pub fn clip_grad_norm(parameters: &[Tensor], max_norm: impl Into<f64>) -> Tensor {
    clip_grad_norm_with(parameters, max_norm, &ClipNorm::default())
}

/// Options of [`clip_grad_norm_with`].
///
/// ```
/// use wgrad::optim::ClipNorm;
/// let options = ClipNorm { error_if_nonfinite: true, ..ClipNorm::default() };
/// assert_eq!(options.norm_type, 2.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipNorm {
    /// The order of the norm, above 0; infinity for the largest absolute value.
    pub norm_type: f64,
    /// Whether a norm that is NaN or infinite is an error.
    pub error_if_nonfinite: bool,
}

impl Default for ClipNorm {
    fn default() -> ClipNorm {
        ClipNorm { norm_type: 2.0, error_if_nonfinite: false }
    }
}

/// [`clip_grad_norm`] by a norm of any order, and with an error where the norm is not finite.
///
/// That is decided on the device, and nothing is read for it: where the norm is NaN or infinite, reads of the norm, of the gradients, and of
/// what an optimizer's step makes of them return [`Error::NonFinite`]; so does [`Device::sync`](crate::Device::sync) where nobody has
/// read. Read the norm before the step, and leave out the step, to keep the parameters. (PyTorch's `error_if_nonfinite`.)
///
/// ```
/// use wgrad::optim::{self, ClipNorm};
/// use wgrad::{Device, Error, Tensor};
/// let w = Tensor::from_slice(&[3f32, -4.0], [2], &Device::default()).requires_grad();
/// (&w * f32::INFINITY).sum().backward()?;
/// let options = ClipNorm { error_if_nonfinite: true, ..ClipNorm::default() };
/// let norm = optim::clip_grad_norm_with(&[w.clone()], 1.0, &options);
/// assert!(matches!(norm.item::<f32>(), Err(Error::NonFinite { .. })));
///
/// w.zero_grad();
/// w.square().sum().backward()?;
/// let largest = ClipNorm { norm_type: f64::INFINITY, ..options };
/// assert_eq!(optim::clip_grad_norm_with(&[w.clone()], 4.0, &largest).item::<f32>()?, 8.0);
/// assert!((w.grad().unwrap().to_vec::<f32>()?[0] - 3.0).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// An order that is not above 0 is an [`Error::Argument`], as a `max_norm` below 0 is.
#[track_caller]
pub fn clip_grad_norm_with(parameters: &[Tensor], max_norm: impl Into<f64>, options: &ClipNorm) -> Tensor {
    let (at, max_norm, order) = (Location::caller(), max_norm.into(), options.norm_type);
    // Written so that NaN is refused.
    let (limited, ordered) = (max_norm >= 0.0, order > 0.0);
    let fault = match (limited, ordered) {
        (false, _) => Some(format!("max_norm must not be negative or NaN, as {max_norm} is")),
        (true, false) => Some(format!("norm_type must be above 0, not {order}")),
        (true, true) => None,
    };
    no_grad(|| {
        let grads: Vec<(&Tensor, Tensor)> = parameters.iter().filter_map(|p| Some((p, p.grad()?))).collect();
        let parts = grads.iter().map(|(_, g)| match order {
            2.0 => wide(g).square().sum(),
            f64::INFINITY => wide(g).abs().max(),
            _ => wide(g).abs().powf(order).sum(),
        });
        let total = parts.reduce(|a, b| if order == f64::INFINITY { a.maximum(b) } else { a + b });
        let total = total.unwrap_or_else(|| {
            let device = parameters.first().map_or_else(Device::default, |p| p.device().clone());
            Tensor::zeros((), &device)
        });
        let norm = match order {
            2.0 => total.sqrt(),
            f64::INFINITY => total,
            _ => total.powf(1.0 / order),
        };
        let norm = norm.build(at, |norm| match fault {
            Some(detail) => Err(Error::argument("clip_grad_norm", detail)),
            None if options.error_if_nonfinite => Ok(norm.expect_finite("clip_grad_norm")),
            None => Ok(norm.clone()),
        });
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
///
/// Where `max_value` is negative or NaN, all gradients carry [`Error::Argument`].
#[track_caller]
pub fn clip_grad_value(parameters: &[Tensor], max_value: impl Into<f64>) {
    let (at, max_value) = (Location::caller(), max_value.into());
    no_grad(|| {
        for p in parameters {
            let Some(g) = p.grad() else { continue };
            let clipped = match max_value >= 0.0 {
                true => g.clamp(-max_value, max_value),
                false => g.build(at, |_| {
                    let detail = format!("max_value must not be negative or NaN, as {max_value} is");
                    Err(Error::argument("clip_grad_value", detail))
                }),
            };
            p.set_grad(Some(&clipped));
        }
    });
}
