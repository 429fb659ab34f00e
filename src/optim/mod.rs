//! Optimizers. An update is ordinary ops, so it fuses into one kernel a parameter and runs in the same submission as the
//! forward and backward pass.

mod adam;
mod sgd;

pub use crate::graph::number::Rate;
pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

use std::panic::Location;

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::graph::no_grad;
use crate::graph::recording::suspended;
use crate::tensor::Tensor;

/// What all optimizers offer.
pub trait Optimizer {
    /// Updates every parameter that has a gradient, and runs all pending work.
    ///
    /// # Errors
    /// The error that a gradient or a parameter carries, or that a parameter was not made with `requires_grad`; then no
    /// parameter changes. An error of the run itself (an index out of range, no memory left, a lost device) leaves parameters
    /// bound to values that could not be computed; reading them returns the error.
    #[track_caller]
    fn step(&mut self) -> Result<()>;

    /// The parameters.
    fn parameters(&self) -> &[Tensor];

    /// Forgets the gradients of all parameters.
    fn zero_grad(&self) {
        self.parameters().iter().for_each(Tensor::zero_grad);
    }

    /// Learning rate.
    fn lr(&self) -> f32;

    /// Sets the learning rate. It travels as a kernel parameter, so nothing is compiled anew. Not inside a captured step, which
    /// would do it once; there the rate is set between the runs, through its handle ([`Rate`]).
    #[track_caller]
    fn set_lr(&mut self, lr: f32);
}

/// The methods of [`Optimizer`] without its import.
macro_rules! inherent {
    ($($name:ident),*) => {$(
        impl $name {
            /// [`Optimizer::step`].
            ///
            /// # Errors
            /// As [`Optimizer::step`].
            #[track_caller]
            pub fn step(&mut self) -> Result<()> {
                Optimizer::step(self)
            }

            /// [`Optimizer::zero_grad`].
            pub fn zero_grad(&self) {
                Optimizer::zero_grad(self);
            }

            /// [`Optimizer::lr`].
            pub fn lr(&self) -> f32 {
                Optimizer::lr(self)
            }

            /// [`Optimizer::set_lr`].
            #[track_caller]
            pub fn set_lr(&mut self, lr: f32) {
                Optimizer::set_lr(self, lr);
            }
        }
    )*};
}
inherent!(Sgd, Adam, AdamW);

/// Gradients of the parameters that have one, with their positions.
///
/// # Errors
/// The first error that a gradient or a parameter carries.
fn gradients(op: &str, parameters: &[Tensor], at: &'static Location<'static>) -> Result<Vec<(usize, Tensor)>> {
    let mut out = Vec::with_capacity(parameters.len());
    for (i, parameter) in parameters.iter().enumerate() {
        parameter.check()?;
        if !parameter.is_leaf_with_grad() {
            let detail = format!("parameter {i} of shape {:?} was not made with requires_grad", parameter.shape());
            return Err(Error::argument(op, detail).or_at(at));
        }
        if let Some(grad) = parameter.grad() {
            grad.check()?;
            if grad.shape() != parameter.shape() || grad.dtype() != parameter.dtype() {
                let detail = format!(
                    "parameter {i} is {} {:?}, but its gradient is {} {:?}",
                    parameter.dtype(),
                    parameter.shape(),
                    grad.dtype(),
                    grad.shape()
                );
                return Err(Error::argument(op, detail).or_at(at));
            }
            out.push((i, grad));
        }
    }
    Ok(out)
}

/// Binds every parameter that has a gradient to what `update` makes of position and gradient, and returns the states that it
/// gives beside the values. All updates are made before the first parameter changes, so that an error leaves all as they were.
///
/// # Errors
/// As [`gradients`]; the errors of `update`, and those that the new values carry.
fn update_all<S>(
    op: &str,
    parameters: &[Tensor],
    at: &'static Location<'static>,
    update: impl Fn(usize, Tensor) -> Result<(Tensor, S)>,
) -> Result<Vec<(usize, S)>> {
    no_grad(|| {
        let mut updates = Vec::with_capacity(parameters.len());
        for (i, grad) in gradients(op, parameters, at)? {
            let (value, state) = update(i, grad)?;
            value.check()?;
            updates.push((i, value, state));
        }
        updates.into_iter().map(|(i, value, state)| parameters[i].try_assign(&value).map(|()| (i, state))).collect()
    })
}

/// Runs everything that is pending on the parameters' devices.
fn run(parameters: &[Tensor]) -> Result<()> {
    let mut done: Vec<&Device> = Vec::new();
    for device in parameters.iter().map(Tensor::device) {
        if !done.iter().any(|d| d.same(device)) {
            device.flush_pending()?;
            done.push(device);
        }
    }
    Ok(())
}

/// Gives every parameter with a gradient the state that it lacks.
fn fill_states<S>(parameters: &[Tensor], states: &mut [Option<S>], make: impl Fn(&Tensor) -> Result<S>) -> Result<()> {
    for (parameter, state) in parameters.iter().zip(states) {
        if state.is_none() && parameter.check().is_ok() && parameter.grad().is_some() {
            *state = Some(make(parameter)?);
        }
    }
    Ok(())
}

/// A state tensor of zeros, in memory of its own, so that the first step has the structure of all others. Optimizers keep it as
/// one variable and [`Tensor::advance`] it each step, so that captured steps know it again.
fn zeros_state(parameter: &Tensor) -> Result<Tensor> {
    suspended(|| {
        let zeros = no_grad(|| parameter.zeros_like());
        zeros.realize()?;
        Ok(zeros)
    })
}
