//! Custom functions: a forward and a backward pass written in tensors.

use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::{Arc, Mutex};

use crate::backend::Device;
use crate::differentiate;
use crate::error::{Error, Result};
use crate::graph::node::lock;
use crate::graph::{Op, Var, Vjp, no_grad, with_location};
use crate::tensor::Tensor;

/// What [`Function::forward`] keeps for [`Function::backward`].
///
/// ```
/// use wgrad::{Device, Tensor, autograd::{Function, Saved}};
///
/// struct Square;
/// impl Function for Square {
///     fn forward(&self, saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
///         saved.save(&inputs[0]);
///         inputs[0].square()
///     }
///     fn backward(&self, saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
///         vec![Some(dy * &saved.tensors()[0] * 2.0)]
///     }
/// }
///
/// let x = Tensor::from_slice(&[3f32], [1], &Device::default()).requires_grad();
/// Square.apply(&[&x]).sum().backward()?;
/// assert_eq!(x.grad().unwrap().item::<f32>()?, 6.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Default)]
pub struct Saved {
    tensors: Vec<Tensor>,
}

impl Saved {
    /// Keeps a tensor.
    pub fn save(&mut self, tensor: &Tensor) {
        self.tensors.push(tensor.clone());
    }

    /// The tensors in the order they were kept.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

/// A function with a gradient of its own, as `torch.autograd.Function`. The forward pass is not differentiated: what `backward`
/// returns is the gradient. Where gradients are to be differentiated again, `backward` is: with respect to the upstream gradient
/// and to the inputs and the output among the saved tensors. Other saved tensors count as constants.
///
/// ```
/// use wgrad::{Device, Tensor, autograd::{Function, Saved}};
///
/// /// Rounds, and passes the gradient straight through.
/// struct RoundThrough;
/// impl Function for RoundThrough {
///     fn forward(&self, _saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
///         inputs[0].round()
///     }
///     fn backward(&self, _saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
///         vec![Some(dy.clone())]
///     }
/// }
///
/// let x = Tensor::from_slice(&[0.4f32, 1.6], [2], &Device::default()).requires_grad();
/// let y = RoundThrough.apply(&[&x]);
/// (&y * &y).sum().backward()?;
/// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [0.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Function: Send + Sync + Sized + 'static {
    /// Computes the output. Nothing in here is recorded for gradients.
    fn forward(&self, saved: &mut Saved, inputs: &[Tensor]) -> Tensor;

    /// The gradient of each input from that of the output; `None` where there is none. Nothing in here is recorded, unless gradients are to be
    /// differentiated again; what is itself computed by gradients goes into [`enable_grad`](crate::enable_grad).
    fn backward(&self, saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>>;

    /// Applies the function.
    #[track_caller]
    fn apply(self, inputs: &[&Tensor]) -> Tensor {
        let at = Location::caller();
        let Some(first) = inputs.first() else {
            let device = Device::cpu();
            let error = Error::argument("function", "no inputs were given").or_at(at);
            return Tensor::from_var(Var::failed(error, device.context(), at), &device);
        };
        let device = first.device().clone();
        let mut saved = Saved::default();
        let owned: Vec<Tensor> = inputs.iter().map(|t| (*t).clone()).collect();
        let output = no_grad(|| self.forward(&mut saved, &owned));
        let saved = Mutex::new(Some(Arc::new(saved)));
        let op = Custom { function: self, saved, inputs: owned.len(), device: device.clone() };
        let vars: Vec<Var> = std::iter::once(&output).chain(&owned).map(Tensor::node).collect();
        let refs: Vec<&Var> = vars.iter().collect();
        let var = with_location(at, || Var::apply_in(Arc::new(op), &refs, device.context()));
        Tensor::from_var(var, &device)
    }
}

/// The node behind an application: the output, computed already, with the inputs that its gradient goes to.
struct Custom<F> {
    function: F,
    /// Until a backward pass frees the graph.
    saved: Mutex<Option<Arc<Saved>>>,
    inputs: usize,
    device: Device,
}

/// Its kernel passes a value on.
impl<F> Hash for Custom<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inputs.hash(state);
    }
}

impl<F: Function> Op for Custom<F> {
    fn name(&self) -> &str {
        // The type's own name, without its path.
        std::any::type_name::<F>().rsplit("::").next().unwrap_or("function")
    }

    crate::graph::op::passes_on!();

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let dy = Tensor::from_var(cx.dy.clone(), &self.device);
        let saved = lock(&self.saved).clone().ok_or_else(|| differentiate::freed(self.name()))?;
        let grads = if cx.create_graph {
            // What was kept of the output stands for this node, so that the gradient depends on the inputs through it.
            let raw = cx.inputs[0].0.id;
            let linked = |t: &Tensor| match t.node().0.id == raw {
                true => Tensor::from_var(cx.output.clone(), &self.device),
                false => t.clone(),
            };
            let saved = Saved { tensors: saved.tensors.iter().map(linked).collect() };
            self.function.backward(&saved, &dy)
        } else {
            no_grad(|| self.function.backward(&saved, &dy))
        };
        if grads.len() != self.inputs {
            let detail = format!("backward returned {} gradients for {} inputs", grads.len(), self.inputs);
            return Err(Error::Autograd { op: self.name().into(), detail, at: Default::default() });
        }
        Ok(std::iter::once(None).chain(grads.into_iter().map(|g| g.map(|t| t.node()))).collect())
    }

    fn release(&self) {
        // Not under the lock: the last handle of a tensor may go with it.
        let saved = std::mem::take(&mut *lock(&self.saved));
        drop(saved);
    }
}
