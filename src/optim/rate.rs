//! Learning rates.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::graph::recording::{self, Number};

/// The learning rate of an optimizer, shared with it: a handle for schedules that outlives the optimizer's move into a captured
/// step.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Sgd};
/// let device = Device::default();
/// let w = Tensor::ones([1], &device).requires_grad();
/// let mut optimizer = Sgd::new(vec![w.clone()], 0.5);
/// let rate = optimizer.rate();
/// let step = wgrad::capture(&device, move |_| {
///     optimizer.zero_grad();
///     w.sum().backward()?;
///     optimizer.step()?;
///     Ok(vec![w.clone()])
/// })?;
/// assert_eq!(step.run(&[])?[0].item::<f32>()?, 0.5);
/// rate.set(0.25);
/// assert_eq!(step.run(&[])?[0].item::<f32>()?, 0.25);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rate(Arc<AtomicU32>);

impl Rate {
    pub(super) fn new(rate: f32) -> Rate {
        Rate(Arc::new(AtomicU32::new(rate.to_bits())))
    }

    /// The present rate.
    pub fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Sets the rate for all steps to come. Inside a captured step this would happen once and never again, so it makes the run
    /// an error.
    #[track_caller]
    pub fn set(&self, rate: f32) {
        if recording::active() {
            let detail =
                "a captured step cannot set the learning rate: set it between the runs, through optimizer.rate()";
            recording::refuse(Error::unsupported("set_lr", detail).or_at(Location::caller()));
        }
        self.0.store(rate.to_bits(), Ordering::Relaxed);
    }

    /// The rate as an operand that follows it.
    pub(super) fn number(&self) -> Number {
        let rate = self.clone();
        recording::number(move || rate.get())
    }
}
