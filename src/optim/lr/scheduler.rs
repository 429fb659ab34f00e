//! Schedules that drive the learning rates of an optimizer.

use std::panic::Location;

use crate::backend::Device;
use crate::error::Result;
use crate::nn::StateDict;
use crate::optim::Rate;
use crate::optim::lr::Schedule;
use crate::optim::state::{self, Loader};

/// Sets the learning rates of all groups of an optimizer by a schedule for each, also of one that a captured step owns.
///
/// ```
/// use wgrad::optim::{ParamGroup, Sgd, lr::{Scheduler, StepLr}};
/// use wgrad::{Device, Tensor};
/// let leaf = || vec![Tensor::ones([1], &Device::default()).requires_grad()];
/// let optimizer = Sgd::with_groups(vec![ParamGroup::new(leaf()), ParamGroup::new(leaf()).lr(0.5)], 1.0);
/// let mut scheduler = Scheduler::new(optimizer.rates(), |lr| StepLr::new(lr, 1, 0.5));
/// scheduler.step();
/// assert_eq!([0, 1].map(|g| optimizer.rates()[g].get()), [0.5, 0.25]);
/// ```
pub struct Scheduler {
    driven: Vec<(Rate, Box<dyn Schedule + Send + Sync>)>,
    position: usize,
}

impl Scheduler {
    /// Makes each rate's schedule from its present value, and sets the rates of step 0.
    ///
    /// ```
    /// use wgrad::optim::{Sgd, lr::{LinearWarmup, Scheduler}};
    /// # use wgrad::{Device, Tensor};
    /// # let w = Tensor::ones([1], &Device::cpu()).requires_grad();
    /// let optimizer = Sgd::new(vec![w], 1.0);
    /// let scheduler = Scheduler::new(optimizer.rates(), |lr| LinearWarmup::new(lr, 4).start_factor(0.25));
    /// assert_eq!(optimizer.lr(), 0.25);
    /// ```
    #[track_caller]
    pub fn new<S: Schedule + Send + Sync + 'static>(rates: Vec<Rate>, make: impl Fn(f32) -> S) -> Scheduler {
        let driven = rates.into_iter().map(|rate| {
            let schedule: Box<dyn Schedule + Send + Sync> = Box::new(make(rate.get()));
            (rate, schedule)
        });
        let scheduler = Scheduler { driven: driven.collect(), position: 0 };
        scheduler.set();
        scheduler
    }

    /// Goes on to the next step, after an optimizer's step or an epoch. Not inside a captured step.
    ///
    /// ```
    /// use wgrad::optim::{Sgd, lr::{Scheduler, StepLr}};
    /// # use wgrad::{Device, Tensor};
    /// # let w = Tensor::ones([1], &Device::cpu()).requires_grad();
    /// let optimizer = Sgd::new(vec![w], 1.0);
    /// let mut scheduler = Scheduler::new(optimizer.rates(), |lr| StepLr::new(lr, 1, 0.5));
    /// scheduler.step();
    /// assert_eq!(optimizer.lr(), 0.5);
    /// ```
    #[track_caller]
    pub fn step(&mut self) {
        self.position += 1;
        self.set();
    }

    /// The number of the present step.
    ///
    /// ```
    /// use wgrad::optim::{Sgd, lr::{Scheduler, StepLr}};
    /// # use wgrad::{Device, Tensor};
    /// # let w = Tensor::ones([1], &Device::cpu()).requires_grad();
    /// let optimizer = Sgd::new(vec![w], 1.0);
    /// let mut scheduler = Scheduler::new(optimizer.rates(), |lr| StepLr::new(lr, 1, 0.5));
    /// scheduler.step();
    /// assert_eq!(scheduler.position(), 1);
    /// ```
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes to a step.
    ///
    /// ```
    /// use wgrad::optim::{Sgd, lr::{Scheduler, StepLr}};
    /// # use wgrad::{Device, Tensor};
    /// # let w = Tensor::ones([1], &Device::cpu()).requires_grad();
    /// let optimizer = Sgd::new(vec![w], 1.0);
    /// let mut scheduler = Scheduler::new(optimizer.rates(), |lr| StepLr::new(lr, 1, 0.5));
    /// scheduler.set_position(3);
    /// assert_eq!(optimizer.lr(), 0.125);
    /// ```
    #[track_caller]
    pub fn set_position(&mut self, position: usize) {
        self.position = position;
        self.set();
    }

    #[track_caller]
    fn set(&self) {
        self.driven.iter().for_each(|(rate, schedule)| rate.set(schedule.rate(self.position)));
    }

    /// The number of the present step, as `position` (i32, on a CPU device). The schedules themselves are not saved.
    ///
    /// ```
    /// use wgrad::optim::{Sgd, lr::{Scheduler, StepLr}};
    /// # use wgrad::{Device, Tensor};
    /// # let w = Tensor::ones([1], &Device::cpu()).requires_grad();
    /// let optimizer = Sgd::new(vec![w], 1.0);
    /// let mut scheduler = Scheduler::new(optimizer.rates(), |lr| StepLr::new(lr, 1, 0.5));
    /// scheduler.step();
    /// assert_eq!(scheduler.state_dict()["position"].item::<i32>()?, 1);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn state_dict(&self) -> StateDict {
        let position = i32::try_from(self.position).unwrap_or(i32::MAX);
        StateDict::from([("position".to_owned(), state::number(position, &Device::cpu()))])
    }

    /// Takes over what [`Scheduler::state_dict`] has returned, and sets the rates of that step.
    ///
    /// ```
    /// use wgrad::optim::{Sgd, lr::{Scheduler, StepLr}};
    /// # use wgrad::{Device, Tensor};
    /// # let w = Tensor::ones([1], &Device::cpu()).requires_grad();
    /// let optimizer = Sgd::new(vec![w], 1.0);
    /// let mut scheduler = Scheduler::new(optimizer.rates(), |lr| StepLr::new(lr, 1, 0.5));
    /// let saved = scheduler.state_dict();
    /// scheduler.step();
    /// scheduler.load_state_dict(&saved)?; // back to step 0
    /// assert_eq!((scheduler.position(), optimizer.lr()), (0, 1.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names what is missing, unexpected or of another type; then nothing has changed.
    #[track_caller]
    pub fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let at = Location::caller();
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new("Scheduler", entries);
        let position = loader.number::<i32>("position");
        loader.finish().map_err(|e| e.or_at(at))?;
        self.set_position(position.and_then(|p| usize::try_from(p).ok()).unwrap_or(0));
        Ok(())
    }
}
