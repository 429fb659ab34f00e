//! Learning rates over time, by PyTorch's formulas.
//!
//! A [`Schedule`] says the rate of each step; so does any closure `Fn(usize) -> f32`. Set it by hand through
//! [`Optimizer::set_lr`](crate::optim::Optimizer::set_lr) or a [`Rate`], or let a [`Scheduler`] do it for all groups.
//! [`ReduceOnPlateau`] goes by a metric instead. Steps are whatever is counted: epochs, or batches.
//!
//! ```
//! use wgrad::optim::lr::{CosineAnnealing, LinearWarmup, Schedule, Scheduler};
//! use wgrad::{Device, Tensor, optim::AdamW};
//! let w = Tensor::ones([1], &Device::default()).requires_grad();
//! let optimizer = AdamW::new(vec![w], 1e-3);
//! let mut scheduler =
//!     Scheduler::new(optimizer.rates(), |lr| LinearWarmup::new(lr, 10).then(CosineAnnealing::new(lr, 90)));
//! for _ in 0..10 {
//!     // … a batch, backward, optimizer.step()
//!     scheduler.step();
//! }
//! assert_eq!(optimizer.lr(), 1e-3);
//! # Ok::<(), wgrad::Error>(())
//! ```

mod plateau;
mod scheduler;

pub use plateau::{Improvement, ReduceOnPlateau};
pub use scheduler::Scheduler;

use std::f64::consts::PI;

#[cfg(doc)]
use crate::optim::Rate;

/// The learning rate of each step.
pub trait Schedule {
    /// The rate of the step of this number, from 0.
    fn rate(&self, step: usize) -> f32;

    /// This schedule up to its own end, then `next`, which counts from 0 there: for schedules with an end, such as
    /// [`LinearWarmup`].
    fn then<S: Schedule>(self, next: S) -> Chained<Self, S>
    where
        Self: Sized + Ending,
    {
        Chained { at: self.end(), first: self, next }
    }

    /// This schedule before step `at`, then `next`, which counts from 0 there. (PyTorch's `SequentialLR`.)
    fn until<S: Schedule>(self, at: usize, next: S) -> Chained<Self, S>
    where
        Self: Sized,
    {
        Chained { at, first: self, next }
    }
}

/// A schedule with an end.
pub trait Ending: Schedule {
    /// The first step after it.
    fn end(&self) -> usize;
}

impl<F: Fn(usize) -> f32> Schedule for F {
    fn rate(&self, step: usize) -> f32 {
        self(step)
    }
}

impl Schedule for Box<dyn Schedule + Send + Sync> {
    fn rate(&self, step: usize) -> f32 {
        (**self).rate(step)
    }
}

/// One schedule after the other; see [`Schedule::then`] and [`Schedule::until`].
#[derive(Clone, Debug)]
pub struct Chained<A, B> {
    at: usize,
    first: A,
    next: B,
}

impl<A: Schedule, B: Schedule> Schedule for Chained<A, B> {
    fn rate(&self, step: usize) -> f32 {
        if step < self.at { self.first.rate(step) } else { self.next.rate(step - self.at) }
    }
}

impl<A: Schedule, B: Ending> Ending for Chained<A, B> {
    fn end(&self) -> usize {
        self.at + self.next.end()
    }
}

/// Multiplied by `gamma` every `step_size` steps. (PyTorch's `StepLR`.)
///
/// ```
/// use wgrad::optim::lr::{Schedule, StepLr};
/// let schedule = StepLr::new(0.5, 30, 0.5);
/// assert_eq!((schedule.rate(29), schedule.rate(30), schedule.rate(60)), (0.5, 0.25, 0.125));
/// ```
#[derive(Clone, Debug)]
pub struct StepLr {
    lr: f32,
    step_size: usize,
    gamma: f32,
}

impl StepLr {
    /// From `lr`. A `step_size` of 0 counts as 1.
    pub fn new(lr: f32, step_size: usize, gamma: f32) -> StepLr {
        StepLr { lr, step_size: step_size.max(1), gamma }
    }
}

impl Schedule for StepLr {
    fn rate(&self, step: usize) -> f32 {
        scaled(self.lr, self.gamma, step / self.step_size)
    }
}

/// Multiplied by `gamma` at each milestone. (PyTorch's `MultiStepLR`.)
///
/// ```
/// use wgrad::optim::lr::{MultiStep, Schedule};
/// let schedule = MultiStep::new(0.5, &[2, 5], 0.5);
/// assert_eq!((schedule.rate(1), schedule.rate(2), schedule.rate(9)), (0.5, 0.25, 0.125));
/// ```
#[derive(Clone, Debug)]
pub struct MultiStep {
    lr: f32,
    milestones: Vec<usize>,
    gamma: f32,
}

impl MultiStep {
    /// From `lr`.
    pub fn new(lr: f32, milestones: &[usize], gamma: f32) -> MultiStep {
        MultiStep { lr, milestones: milestones.to_vec(), gamma }
    }
}

impl Schedule for MultiStep {
    fn rate(&self, step: usize) -> f32 {
        scaled(self.lr, self.gamma, self.milestones.iter().filter(|m| step >= **m).count())
    }
}

/// Multiplied by `gamma` each step. (PyTorch's `ExponentialLR`.)
#[derive(Clone, Debug)]
pub struct Exponential {
    lr: f32,
    gamma: f32,
}

impl Exponential {
    /// From `lr`.
    pub fn new(lr: f32, gamma: f32) -> Exponential {
        Exponential { lr, gamma }
    }
}

impl Schedule for Exponential {
    fn rate(&self, step: usize) -> f32 {
        scaled(self.lr, self.gamma, step)
    }
}

/// `lr · gammaⁿ`, in f64.
fn scaled(lr: f32, gamma: f32, n: usize) -> f32 {
    (f64::from(lr) * f64::from(gamma).powf(n as f64)) as f32
}

/// `lr · (1 − t/T)^power` up to step `T`, then 0. (PyTorch's `PolynomialLR`.)
#[derive(Clone, Debug)]
pub struct Polynomial {
    lr: f32,
    steps: usize,
    power: f32,
}

impl Polynomial {
    /// From `lr` to 0 in `steps` steps. A power of 1 is a straight line.
    pub fn new(lr: f32, steps: usize, power: f32) -> Polynomial {
        Polynomial { lr, steps: steps.max(1), power }
    }
}

impl Schedule for Polynomial {
    fn rate(&self, step: usize) -> f32 {
        let left = 1.0 - step.min(self.steps) as f64 / self.steps as f64;
        (f64::from(self.lr) * left.powf(f64::from(self.power))) as f32
    }
}

/// Half a cosine from `lr` to `eta_min` in `t_max` steps, and back after that: `η + (lr − η)(1 + cos(π t / T))/2`.
/// (Loshchilov & Hutter 2017, arXiv 1608.03983; PyTorch's `CosineAnnealingLR`.)
///
/// ```
/// use wgrad::optim::lr::{CosineAnnealing, Schedule};
/// let schedule = CosineAnnealing::new(1.0, 100).eta_min(0.5);
/// assert_eq!((schedule.rate(0), schedule.rate(50), schedule.rate(100)), (1.0, 0.75, 0.5));
/// ```
#[derive(Clone, Debug)]
pub struct CosineAnnealing {
    lr: f32,
    t_max: usize,
    eta_min: f32,
}

impl CosineAnnealing {
    /// From `lr` to 0 in `t_max` steps.
    pub fn new(lr: f32, t_max: usize) -> CosineAnnealing {
        CosineAnnealing { lr, t_max: t_max.max(1), eta_min: 0.0 }
    }

    /// The lowest rate.
    pub fn eta_min(mut self, eta_min: f32) -> CosineAnnealing {
        self.eta_min = eta_min;
        self
    }
}

impl Schedule for CosineAnnealing {
    fn rate(&self, step: usize) -> f32 {
        cosine(self.lr, self.eta_min, step as f64 / self.t_max as f64)
    }
}

impl Ending for CosineAnnealing {
    fn end(&self) -> usize {
        self.t_max
    }
}

/// Along half a cosine: `from` at 0, `to` at 1.
fn cosine(from: f32, to: f32, share: f64) -> f32 {
    let (from, to) = (f64::from(from), f64::from(to));
    (to + (from - to) * (1.0 + (PI * share).cos()) / 2.0) as f32
}

/// Half cosines from `lr` to `eta_min`, one after the other: the first takes `t_0` steps, each further one `t_mult` times as many as the one
/// before. (Loshchilov & Hutter 2017, arXiv 1608.03983; PyTorch's `CosineAnnealingWarmRestarts`.)
///
/// ```
/// use wgrad::optim::lr::{CosineWarmRestarts, Schedule};
/// let schedule = CosineWarmRestarts::new(1.0, 10).t_mult(2);
/// assert_eq!((schedule.rate(5), schedule.rate(10), schedule.rate(20), schedule.rate(30)), (0.5, 1.0, 0.5, 1.0));
/// ```
#[derive(Clone, Debug)]
pub struct CosineWarmRestarts {
    lr: f32,
    t_0: usize,
    t_mult: usize,
    eta_min: f32,
}

impl CosineWarmRestarts {
    /// Cosines of `t_0` steps from `lr` to 0.
    pub fn new(lr: f32, t_0: usize) -> CosineWarmRestarts {
        CosineWarmRestarts { lr, t_0: t_0.max(1), t_mult: 1, eta_min: 0.0 }
    }

    /// How much longer each cosine is than the one before.
    pub fn t_mult(mut self, t_mult: usize) -> CosineWarmRestarts {
        self.t_mult = t_mult.max(1);
        self
    }

    /// The lowest rate.
    pub fn eta_min(mut self, eta_min: f32) -> CosineWarmRestarts {
        self.eta_min = eta_min;
        self
    }
}

impl Schedule for CosineWarmRestarts {
    fn rate(&self, step: usize) -> f32 {
        let (mut start, mut length) = (0usize, self.t_0);
        if self.t_mult == 1 {
            start = step / length * length;
        } else {
            while step - start >= length {
                start += length;
                length = length.saturating_mul(self.t_mult);
            }
        }
        cosine(self.lr, self.eta_min, (step - start) as f64 / length as f64)
    }
}

/// The way from one rate to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

impl Anneal {
    fn at(self, from: f32, to: f32, share: f64) -> f32 {
        match self {
            Anneal::Cosine => cosine(from, to, share),
            Anneal::Linear => (f64::from(from) + (f64::from(to) - f64::from(from)) * share) as f32,
        }
    }
}

/// Up from `max_lr / div_factor` to `max_lr`, then down to `max_lr / div_factor / final_div_factor`, in `total_steps` steps.
/// (Smith & Topin 2018, arXiv 1708.07120; PyTorch's `OneCycleLR`, without its cycle of the momentum.)
/// After the last step the rate stays.
///
/// ```
/// use wgrad::optim::lr::{OneCycle, Schedule};
/// let schedule = OneCycle::new(1.0, 101).pct_start(0.5).div_factor(10.0);
/// assert_eq!((schedule.rate(0), schedule.rate(100)), (0.1, 0.1 / 1e4));
/// assert!((0..101).all(|t| schedule.rate(t) <= 1.0));
/// ```
#[derive(Clone, Debug)]
pub struct OneCycle {
    max_lr: f32,
    total_steps: usize,
    pct_start: f32,
    div_factor: f32,
    final_div_factor: f32,
    anneal: Anneal,
    three_phase: bool,
}

impl OneCycle {
    /// A cycle with `pct_start` = 0.3, `div_factor` = 25, `final_div_factor` = 10⁴, along cosines, in two phases.
    pub fn new(max_lr: f32, total_steps: usize) -> OneCycle {
        OneCycle {
            max_lr,
            total_steps,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            anneal: Anneal::Cosine,
            three_phase: false,
        }
    }

    /// Share of the steps in which the rate rises.
    pub fn pct_start(mut self, pct_start: f32) -> OneCycle {
        self.pct_start = pct_start;
        self
    }

    /// The first rate is the largest by this.
    pub fn div_factor(mut self, div_factor: f32) -> OneCycle {
        self.div_factor = div_factor;
        self
    }

    /// The last rate is the first by this.
    pub fn final_div_factor(mut self, final_div_factor: f32) -> OneCycle {
        self.final_div_factor = final_div_factor;
        self
    }

    /// The way up and down.
    pub fn anneal(mut self, anneal: Anneal) -> OneCycle {
        self.anneal = anneal;
        self
    }

    /// Down to the first rate in as many steps as up, then on to the last.
    pub fn three_phase(mut self, three_phase: bool) -> OneCycle {
        self.three_phase = three_phase;
        self
    }
}

impl Schedule for OneCycle {
    fn rate(&self, step: usize) -> f32 {
        let (total, rise) = (self.total_steps as f64, f64::from(self.pct_start) * self.total_steps as f64);
        let first = (f64::from(self.max_lr) / f64::from(self.div_factor)) as f32;
        let last = (f64::from(self.max_lr) / f64::from(self.div_factor) / f64::from(self.final_div_factor)) as f32;
        let two = [(rise - 1.0, first, self.max_lr), (total - 1.0, self.max_lr, last)];
        let three =
            [(rise - 1.0, first, self.max_lr), (2.0 * rise - 2.0, self.max_lr, first), (total - 1.0, first, last)];
        let phases: &[_] = if self.three_phase { &three } else { &two };
        let (step, mut start) = ((step as f64).min(total - 1.0), 0.0);
        for &(end, from, to) in phases {
            if step <= end {
                let share = if end > start { (step - start) / (end - start) } else { 1.0 };
                return self.anneal.at(from, to, share);
            }
            start = end;
        }
        last
    }
}

impl Ending for OneCycle {
    fn end(&self) -> usize {
        self.total_steps
    }
}

/// From `lr · start_factor` to `lr` along a line in `steps` steps, then `lr`. (PyTorch's `LinearLR` with an `end_factor` of 1.)
///
/// ```
/// use wgrad::optim::lr::{LinearWarmup, Schedule};
/// let schedule = LinearWarmup::new(1.0, 4).start_factor(0.5);
/// assert_eq!([0, 1, 2, 4, 9].map(|t| schedule.rate(t)), [0.5, 0.625, 0.75, 1.0, 1.0]);
/// ```
#[derive(Clone, Debug)]
pub struct LinearWarmup {
    lr: f32,
    steps: usize,
    start_factor: f32,
}

impl LinearWarmup {
    /// Up from a third of `lr`.
    pub fn new(lr: f32, steps: usize) -> LinearWarmup {
        LinearWarmup { lr, steps, start_factor: 1.0 / 3.0 }
    }

    /// Where it starts, as a share of the rate.
    pub fn start_factor(mut self, start_factor: f32) -> LinearWarmup {
        self.start_factor = start_factor;
        self
    }
}

impl Schedule for LinearWarmup {
    fn rate(&self, step: usize) -> f32 {
        if step >= self.steps {
            return self.lr;
        }
        let start = f64::from(self.start_factor);
        (f64::from(self.lr) * (start + (1.0 - start) * step as f64 / self.steps as f64)) as f32
    }
}

impl Ending for LinearWarmup {
    fn end(&self) -> usize {
        self.steps
    }
}
