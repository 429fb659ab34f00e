//! Optimizers. An update is ordinary ops, so it fuses into one kernel per parameter and runs in the same submission as the
//! forward and backward pass.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod asgd;
mod clip;
mod clock;
mod define;
pub(crate) mod driver;
mod ema;
mod group;
mod lbfgs;
mod lion;
pub mod lr;
mod muon;
mod radam;
mod rmsprop;
mod rprop;
mod sgd;
pub(crate) mod state;

pub use crate::graph::number::Rate;
pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::{Adamax, NAdam};
pub use asgd::Asgd;
pub use clip::{ClipNorm, clip_grad_norm, clip_grad_norm_with, clip_grad_value};
pub use ema::Ema;
pub use group::ParamGroup;
pub use lbfgs::Lbfgs;
pub use lion::Lion;
pub use muon::{Muon, MuonScale};
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use rprop::Rprop;
pub use sgd::Sgd;

use std::panic::Location;

use crate::error::Result;
use crate::site;
use crate::state::StateDict;
use crate::tensor::Tensor;
use define::optimizer;

/// What all optimizers offer.
///
/// ```
/// use wgrad::optim::{Optimizer, Sgd};
/// use wgrad::{Device, Tensor};
/// fn minimize(w: &Tensor, optimizer: &mut impl Optimizer) -> wgrad::Result<()> {
///     optimizer.zero_grad();
///     w.square().sum().backward()?;
///     optimizer.step()
/// }
/// let w = Tensor::ones([2], &Device::cpu()).requires_grad();
/// minimize(&w, &mut Sgd::new(vec![w.clone()], 0.25))?;
/// assert_eq!(w.to_vec::<f32>()?, [0.5, 0.5]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Optimizer {
    /// Updates every parameter that has a gradient, and runs all pending work.
    ///
    /// Where an index check fails that a gradient depends on (a token or a target out of range), the device leaves parameters, state and step
    /// counts as they were; nothing is read for it. Reads of the loss return the error.
    ///
    /// # Errors
    /// The error that a gradient or a parameter carries, that a parameter was not made with `requires_grad` or is given twice,
    /// or that a hyperparameter is out of its domain; then no parameter changes. An error of the run itself
    /// (no memory left, a lost device) leaves parameters bound to values that could not be computed; reading them returns
    /// the error.
    #[track_caller]
    fn step(&mut self) -> Result<()>;

    /// [`Optimizer::step`] where the boolean scalar `condition` holds; where not, nothing changes, and no step is counted. The
    /// condition stays on the device: nothing is read. This is what [`GradScaler`](crate::amp::GradScaler) calls.
    ///
    /// # Errors
    /// As [`Optimizer::step`]; [`Error::Argument`](crate::Error::Argument) where the condition is no boolean scalar.
    #[track_caller]
    fn step_if(&mut self, condition: &Tensor) -> Result<()>;

    /// The parameters, those of the first group first.
    fn parameters(&self) -> &[Tensor];

    /// Forgets the gradients of all parameters.
    fn zero_grad(&self) {
        self.parameters().iter().for_each(Tensor::zero_grad);
    }

    /// Learning rate of the first group.
    fn lr(&self) -> f32;

    /// Sets the learning rate of all groups. It travels as a kernel parameter, so nothing is compiled anew. Not inside a captured
    /// step, which would do it once; there the rate is set between the runs, through its handle ([`Rate`]).
    #[track_caller]
    fn set_lr(&mut self, lr: f32);

    /// The handles of the groups' learning rates.
    fn rates(&self) -> Vec<Rate>;

    /// Everything that a later step depends on besides parameters and hyperparameters: `group.G.lr` for each group, `momentum` where a
    /// [handle](Sgd::momentum_rate) drives it, and for the parameter at each position `state.I.NAME` with PyTorch's names, and `state.I.step` (i32) where steps are counted.
    /// Parameters that had no gradient yet have no state.
    fn state_dict(&self) -> StateDict;

    /// Takes over what [`Optimizer::state_dict`] of an optimizer of the same kind with the same groups has returned: a run that is
    /// saved and loaded goes on bit for bit like one that was not interrupted. Tensors of other devices are moved.
    ///
    /// # Errors
    /// One [`Error::Argument`](crate::Error::Argument) that names the entries that are missing, unexpected, or of another shape or
    /// type; then nothing has changed.
    #[track_caller]
    fn load_state_dict(&mut self, entries: &StateDict) -> Result<()>;
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    #[track_caller]
    fn step(&mut self) -> Result<()> {
        let _from = site::from(Location::caller());
        (**self).step()
    }

    #[track_caller]
    fn step_if(&mut self, condition: &Tensor) -> Result<()> {
        let _from = site::from(Location::caller());
        (**self).step_if(condition)
    }

    fn parameters(&self) -> &[Tensor] {
        (**self).parameters()
    }

    fn zero_grad(&self) {
        (**self).zero_grad();
    }

    fn lr(&self) -> f32 {
        (**self).lr()
    }

    #[track_caller]
    fn set_lr(&mut self, lr: f32) {
        let _from = site::from(Location::caller());
        (**self).set_lr(lr);
    }

    fn rates(&self) -> Vec<Rate> {
        (**self).rates()
    }

    fn state_dict(&self) -> StateDict {
        (**self).state_dict()
    }

    #[track_caller]
    fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let _from = site::from(Location::caller());
        (**self).load_state_dict(entries)
    }
}
