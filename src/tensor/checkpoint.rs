//! Checkpoints and the search for anomalies.

use std::panic::Location;

use crate::backend::Device;
use crate::differentiate;
use crate::error::Result;
use crate::graph::{anomaly, node, with_location};
use crate::tensor::Tensor;

/// Calls `f` on `inputs`; what it computes on the way is not kept for the backward pass, but computed again there, from the inputs and
/// whatever else `f` reads. Trades time for memory (Chen et al. 2016, arXiv 1604.06174; PyTorch's `torch.utils.checkpoint`).
///
/// Gradients flow to the inputs and to all leaves and tensors that `f` uses, and can be differentiated again. `f` itself is called once:
/// its ops are repeated, with the same random numbers. What `f` holds back (tensors it stores outside) is kept.
///
/// ```
/// use wgrad::{Device, Tensor, autograd};
/// let device = Device::default();
/// let w = Tensor::randn([4, 4], &device).requires_grad();
/// let x = Tensor::randn([2, 4], &device);
/// let layer = |x: &[Tensor]| x[0].matmul(&w).tanh().dropout(0.5, true);
/// let h = autograd::checkpoint(layer, &[&x]);
/// let y = autograd::checkpoint(layer, &[&h]);
/// y.square().sum().backward()?;
/// assert!(w.grad().is_some());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[track_caller]
pub fn checkpoint(f: impl FnOnce(&[Tensor]) -> Tensor, inputs: &[&Tensor]) -> Tensor {
    let at = Location::caller();
    let start = node::next_id();
    let owned: Vec<Tensor> = inputs.iter().map(|t| (*t).clone()).collect();
    let output = f(&owned);
    let var = output.node();
    Tensor::from_var(with_location(at, || differentiate::checkpoint(&var, start)), output.device())
}

/// Calls `f` and looks at every value that is computed on `device` meanwhile, op by op, forward, backward and in updates: the first op that
/// makes a NaN out of none, or an infinity out of finite numbers, is an error with the user's line. So is a leaf that is bad from the start:
/// NaN in a parameter or an input, an infinity in a parameter. What `f` has left pending is computed at
/// its end. For looking for a fault: each op is run and read back on its own. Replays of captured steps are not looked into.
///
/// ```
/// use wgrad::{Device, Error, Tensor, autograd};
/// let device = Device::default();
/// let x = Tensor::from_slice(&[0f32, 1.0], [2], &device).requires_grad();
/// let result = autograd::detect_anomaly(&device, || {
///     let y = x.sqrt(); // its gradient is infinite at 0
///     (y * 2.0).sum().backward()
/// });
/// let Err(error @ Error::NonFinite { .. }) = result else { panic!() };
/// assert!(error.to_string().starts_with("sqrt: its gradient") && error.to_string().contains("backward pass"));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::NonFinite`](crate::Error::NonFinite), which names op and line, forward or backward; the error of `f`.
pub fn detect_anomaly<R>(device: &Device, f: impl FnOnce() -> Result<R>) -> Result<R> {
    let ((result, flushed), fault) = anomaly::search(|| {
        let result = f();
        (result, device.flush_pending())
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    let result = result?;
    flushed.map(|()| result)
}
