//! Schedules that drive the learning rates of an optimizer.

use std::panic::Location;

use crate::backend::Device;
use crate::error::Result;
use crate::optim::Rate;
use crate::optim::lr::Schedule;
use crate::optim::state::{self, Loader};
use crate::state::StateDict;

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
    driven: Vec<Driven>,
    make: Make,
    position: usize,
}

/// What makes a schedule from its base rate.
type Make = Box<dyn Fn(f32) -> Box<dyn Schedule + Send + Sync> + Send + Sync>;

/// A rate and the schedule that drives it, which was made from a base rate.
struct Driven {
    rate: Rate,
    base: f32,
    schedule: Box<dyn Schedule + Send + Sync>,
}

impl Scheduler {
    /// Makes each rate's schedule from its present value, the base rate, and sets the rates of step 0. `make` is called again where a
    /// loaded state has other base rates, and so is kept: a closure over local variables is a `move` closure.
    #[track_caller]
    pub fn new<S: Schedule + Send + Sync + 'static>(
        rates: Vec<Rate>,
        make: impl Fn(f32) -> S + Send + Sync + 'static,
    ) -> Scheduler {
        let make: Make = Box::new(move |base| Box::new(make(base)));
        let driven = rates.into_iter().map(|rate| {
            let base = rate.get();
            Driven { rate, base, schedule: make(base) }
        });
        let scheduler = Scheduler { driven: driven.collect(), make, position: 0 };
        scheduler.set();
        scheduler
    }

    /// Goes on to the next step, after an optimizer's step or an epoch. Not inside a captured step.
    #[track_caller]
    pub fn step(&mut self) {
        self.position += 1;
        self.set();
    }

    /// The number of the present step.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes to a step.
    #[track_caller]
    pub fn set_position(&mut self, position: usize) {
        self.position = position;
        self.set();
    }

    #[track_caller]
    fn set(&self) {
        self.driven.iter().for_each(|driven| driven.rate.set(driven.schedule.rate(self.position)));
    }

    /// On a CPU device: the number of the present step, as `position` (i32), and the rate that each schedule was made from, as `base.0`
    /// and so on (f32). The schedules themselves are not saved.
    pub fn state_dict(&self) -> StateDict {
        let position = i32::try_from(self.position).unwrap_or(i32::MAX);
        let device = Device::cpu();
        let mut entries = StateDict::from([("position".to_owned(), state::number(position, &device))]);
        for (i, driven) in self.driven.iter().enumerate() {
            entries.insert(format!("base.{i}"), state::number(driven.base, &device));
        }
        entries
    }

    /// Takes over what [`Scheduler::state_dict`] has returned, and sets the rates of that step, before or after the optimizer's state
    /// is loaded. A state without base rates, of an older version, leaves them as they are: those of when this was made.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names what is missing, unexpected or of another type; then nothing has changed.
    #[track_caller]
    pub fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let at = Location::caller();
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new("Scheduler", entries);
        let position = loader.number::<i32>("position");
        let known = loader.has("base.");
        let bases: Vec<_> =
            (0..self.driven.len()).filter(|_| known).map(|i| loader.number::<f32>(&format!("base.{i}"))).collect();
        loader.finish().map_err(|e| e.or_at(at))?;
        for (driven, base) in self.driven.iter_mut().zip(bases.into_iter().flatten()) {
            if driven.base != base {
                (driven.base, driven.schedule) = (base, (self.make)(base));
            }
        }
        self.set_position(position.and_then(|p| usize::try_from(p).ok()).unwrap_or(0));
        Ok(())
    }
}
