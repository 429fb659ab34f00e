//! Learning rates that go by a metric.

use std::panic::Location;

use crate::backend::Device;
use crate::error::Result;
use crate::optim::Rate;
use crate::optim::state::{self, Loader};
use crate::state::StateDict;

/// What counts as an improvement of the best value so far.
///
/// ```
/// use wgrad::optim::{Sgd, lr::{Improvement, ReduceOnPlateau}};
/// use wgrad::{Device, Tensor};
/// let optimizer = Sgd::new(vec![Tensor::ones([1], &Device::cpu()).requires_grad()], 1.0);
/// let plateau = ReduceOnPlateau::new(optimizer.rates()).improvement(Improvement::MaxAbsolute(0.0));
/// let mut plateau = plateau.factor(0.5).patience(1);
/// [0.5, 0.75, 0.75, 0.75].into_iter().for_each(|accuracy| { plateau.step(accuracy); });
/// assert_eq!(optimizer.lr(), 0.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Improvement {
    /// Below `best · (1 − threshold)`.
    MinRelative(f32),
    /// Below `best − threshold`.
    MinAbsolute(f32),
    /// Above `best · (1 + threshold)`.
    MaxRelative(f32),
    /// Above `best + threshold`.
    MaxAbsolute(f32),
}

impl Improvement {
    /// The worst value.
    pub(crate) fn worst(self) -> f64 {
        match self {
            Improvement::MinRelative(_) | Improvement::MinAbsolute(_) => f64::INFINITY,
            Improvement::MaxRelative(_) | Improvement::MaxAbsolute(_) => f64::NEG_INFINITY,
        }
    }

    /// Whether `value` improves on `best`; NaN does not.
    pub(crate) fn is_met(self, value: f64, best: f64) -> bool {
        match self {
            Improvement::MinRelative(t) => value < best * (1.0 - f64::from(t)),
            Improvement::MinAbsolute(t) => value < best - f64::from(t),
            Improvement::MaxRelative(t) => value > best * (1.0 + f64::from(t)),
            Improvement::MaxAbsolute(t) => value > best + f64::from(t),
        }
    }
}

/// Lowers learning rates where a metric has stopped improving. (PyTorch's `ReduceLROnPlateau`.)
///
/// ```
/// use wgrad::optim::{Sgd, lr::ReduceOnPlateau};
/// use wgrad::{Device, Tensor};
/// let w = Tensor::ones([1], &Device::default()).requires_grad();
/// let optimizer = Sgd::new(vec![w], 1.0);
/// let mut plateau = ReduceOnPlateau::new(optimizer.rates()).factor(0.5).patience(1);
/// for loss in [3.0, 2.0, 2.0, 2.0] {
///     plateau.step(loss);
/// }
/// assert_eq!(optimizer.lr(), 0.5);
/// ```
pub struct ReduceOnPlateau {
    rates: Vec<Rate>,
    improvement: Improvement,
    factor: f32,
    patience: i32,
    cooldown: i32,
    min_lr: f32,
    eps: f32,
    best: Option<f64>,
    bad: i32,
    cooling: i32,
}

impl ReduceOnPlateau {
    /// Goes by a metric to be minimised, with a relative threshold of 10⁻⁴, a factor of 0.1, a patience of 10 and no cooldown.
    pub fn new(rates: Vec<Rate>) -> ReduceOnPlateau {
        ReduceOnPlateau {
            rates,
            improvement: Improvement::MinRelative(1e-4),
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }

    /// What counts as an improvement.
    pub fn improvement(mut self, improvement: Improvement) -> ReduceOnPlateau {
        self.improvement = improvement;
        self
    }

    /// What rates are multiplied by.
    pub fn factor(mut self, factor: f32) -> ReduceOnPlateau {
        self.factor = factor;
        self
    }

    /// How many steps without an improvement are borne.
    pub fn patience(mut self, patience: u16) -> ReduceOnPlateau {
        self.patience = i32::from(patience);
        self
    }

    /// How many steps after a change do not count.
    pub fn cooldown(mut self, cooldown: u16) -> ReduceOnPlateau {
        self.cooldown = i32::from(cooldown);
        self
    }

    /// The lowest rate.
    pub fn min_lr(mut self, min_lr: f32) -> ReduceOnPlateau {
        self.min_lr = min_lr;
        self
    }

    /// Changes up to this are not made.
    pub fn eps(mut self, eps: f32) -> ReduceOnPlateau {
        self.eps = eps;
        self
    }

    /// Takes the metric of a step (an epoch, most often); whether the rates were lowered. NaN is no improvement.
    #[track_caller]
    pub fn step(&mut self, metric: f32) -> bool {
        let (metric, best) = (f64::from(metric), self.best.unwrap_or(self.improvement.worst()));
        if self.improvement.is_met(metric, best) {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad <= self.patience {
            return false;
        }
        for rate in &self.rates {
            let (old, new) = (rate.get(), (rate.get() * self.factor).max(self.min_lr));
            if old - new > self.eps {
                rate.set(new);
            }
        }
        self.cooling = self.cooldown;
        self.bad = 0;
        true
    }

    /// The best value so far, and the counts, on a CPU device: `best` (f64), `num_bad_epochs` and `cooldown_counter` (i32), and the
    /// rates.
    pub fn state_dict(&self) -> StateDict {
        let device = Device::cpu();
        let best = self.best.unwrap_or(self.improvement.worst());
        let mut entries = StateDict::from([
            ("best".to_owned(), state::number(best, &device)),
            ("num_bad_epochs".to_owned(), state::number(self.bad, &device)),
            ("cooldown_counter".to_owned(), state::number(self.cooling, &device)),
        ]);
        for (i, rate) in self.rates.iter().enumerate() {
            entries.insert(format!("rate.{i}"), state::number(rate.get(), &device));
        }
        entries
    }

    /// Takes over what [`ReduceOnPlateau::state_dict`] has returned.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) that names what is missing, unexpected or of another type; then nothing has changed.
    #[track_caller]
    pub fn load_state_dict(&mut self, entries: &StateDict) -> Result<()> {
        let at = Location::caller();
        state::refuse_in_capture().map_err(|e| e.or_at(at))?;
        let mut loader = Loader::new("ReduceOnPlateau", entries);
        let best = loader.number::<f64>("best");
        let counts = [loader.number::<i32>("num_bad_epochs"), loader.number::<i32>("cooldown_counter")];
        let rates: Vec<_> = (0..self.rates.len()).map(|i| loader.number::<f32>(&format!("rate.{i}"))).collect();
        loader.finish().map_err(|e| e.or_at(at))?;
        self.best = best.filter(|best| *best != self.improvement.worst());
        [self.bad, self.cooling] = counts.map(|count| count.unwrap_or(0));
        self.rates.iter().zip(rates.into_iter().flatten()).for_each(|(rate, new)| rate.set(new));
        Ok(())
    }
}
