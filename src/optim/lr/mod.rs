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

mod cycle;
mod plateau;
mod scheduler;

pub use cycle::{Anneal, Cyclic, CyclicScale, OneCycle, OneCycleMomentum};
pub use plateau::{Improvement, ReduceOnPlateau};
pub use scheduler::Scheduler;

use std::f64::consts::PI;

#[cfg(doc)]
use crate::optim::Rate;

/// The learning rate of each step.
///
/// ```
/// use wgrad::optim::lr::{LinearWarmup, Schedule};
/// /// Falls with the square root of the steps.
/// struct InverseSquareRoot(f32);
/// impl Schedule for InverseSquareRoot {
///     fn rate(&self, step: usize) -> f32 {
///         self.0 / ((step + 1) as f32).sqrt()
///     }
/// }
/// let schedule = LinearWarmup::new(0.5, 10).then(InverseSquareRoot(0.5));
/// assert_eq!((schedule.rate(10), schedule.rate(13)), (0.5, 0.25));
/// ```
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

    /// The product with another schedule, most often one that begins at 1. (What PyTorch's `ChainedScheduler` comes to.)
    fn times<S: Schedule>(self, other: S) -> Product<Self, S>
    where
        Self: Sized,
    {
        Product(self, other)
    }
}

/// A schedule with an end.
///
/// ```
/// use wgrad::optim::lr::{Constant, Ending, Exponential, Schedule};
/// let first = Constant::new(1.0, 0.25, 4);
/// assert_eq!(first.end(), 4);
/// let schedule = first.then(Exponential::new(1.0, 0.5));
/// assert_eq!([3, 4, 5].map(|t| schedule.rate(t)), [0.25, 1.0, 0.5]);
/// ```
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
///
/// ```
/// use wgrad::optim::lr::{Chained, Constant, Exponential, Schedule};
/// let schedule: Chained<Constant, Exponential> = Constant::new(1.0, 0.25, 2).until(5, Exponential::new(1.0, 0.5));
/// assert_eq!([0, 2, 5, 6].map(|t| schedule.rate(t)), [0.25, 1.0, 1.0, 0.5]);
/// ```
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

/// Two schedules multiplied; see [`Schedule::times`].
///
/// ```
/// use wgrad::optim::lr::{Constant, Exponential, Product, Schedule};
/// let schedule: Product<Exponential, Constant> = Exponential::new(1.0, 0.5).times(Constant::new(1.0, 0.5, 1));
/// assert_eq!([0, 1, 2].map(|t| schedule.rate(t)), [0.5, 0.5, 0.25]);
/// ```
#[derive(Clone, Debug)]
pub struct Product<A, B>(A, B);

impl<A: Schedule, B: Schedule> Schedule for Product<A, B> {
    fn rate(&self, step: usize) -> f32 {
        (f64::from(self.0.rate(step)) * f64::from(self.1.rate(step))) as f32
    }
}

/// `lr · factor` for `steps` steps, then `lr`. (PyTorch's `ConstantLR`.)
///
/// ```
/// use wgrad::optim::lr::{Constant, Schedule};
/// let schedule = Constant::new(1.0, 0.25, 4);
/// assert_eq!((schedule.rate(3), schedule.rate(4)), (0.25, 1.0));
/// ```
#[derive(Clone, Debug)]
pub struct Constant {
    lr: f32,
    factor: f32,
    steps: usize,
}

impl Constant {
    /// A share of `lr` for so many steps.
    pub fn new(lr: f32, factor: f32, steps: usize) -> Constant {
        Constant { lr, factor, steps }
    }
}

impl Schedule for Constant {
    fn rate(&self, step: usize) -> f32 {
        if step < self.steps { self.lr * self.factor } else { self.lr }
    }
}

impl Ending for Constant {
    fn end(&self) -> usize {
        self.steps
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
///
/// ```
/// use wgrad::optim::lr::{Exponential, Schedule};
/// assert_eq!(Exponential::new(1.0, 0.5).rate(3), 0.125);
/// ```
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
///
/// ```
/// use wgrad::optim::lr::{Polynomial, Schedule};
/// let schedule = Polynomial::new(1.0, 4, 2.0);
/// assert_eq!([0, 2, 4, 9].map(|t| schedule.rate(t)), [1.0, 0.25, 0.0, 0.0]);
/// ```
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

/// From `lr · start_factor` to `lr · end_factor` along a line in `steps` steps, then that. (PyTorch's `LinearLR`.)
///
/// ```
/// use wgrad::optim::lr::{Linear, Schedule};
/// let schedule = Linear::new(1.0, 0.5, 0.0, 4);
/// assert_eq!([0, 1, 4, 9].map(|t| schedule.rate(t)), [0.5, 0.375, 0.0, 0.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    lr: f32,
    start_factor: f32,
    end_factor: f32,
    steps: usize,
}

impl Linear {
    /// Between two shares of `lr`.
    pub fn new(lr: f32, start_factor: f32, end_factor: f32, steps: usize) -> Linear {
        Linear { lr, start_factor, end_factor, steps }
    }
}

impl Schedule for Linear {
    fn rate(&self, step: usize) -> f32 {
        if step >= self.steps {
            return self.lr * self.end_factor;
        }
        let (start, end) = (f64::from(self.start_factor), f64::from(self.end_factor));
        (f64::from(self.lr) * (start + (end - start) * step as f64 / self.steps as f64)) as f32
    }
}

impl Ending for Linear {
    fn end(&self) -> usize {
        self.steps
    }
}

/// From `lr · start_factor` up to `lr` along a line in `steps` steps, then `lr`: [`Linear`] with an end factor of 1.
///
/// ```
/// use wgrad::optim::lr::{LinearWarmup, Schedule};
/// let schedule = LinearWarmup::new(1.0, 4).start_factor(0.5);
/// assert_eq!([0, 1, 2, 4, 9].map(|t| schedule.rate(t)), [0.5, 0.625, 0.75, 1.0, 1.0]);
/// ```
#[derive(Clone, Debug)]
pub struct LinearWarmup(Linear);

impl LinearWarmup {
    /// Up from a third of `lr`.
    pub fn new(lr: f32, steps: usize) -> LinearWarmup {
        LinearWarmup(Linear::new(lr, 1.0 / 3.0, 1.0, steps))
    }

    /// Where it starts, as a share of the rate.
    pub fn start_factor(mut self, start_factor: f32) -> LinearWarmup {
        self.0.start_factor = start_factor;
        self
    }
}

impl Schedule for LinearWarmup {
    fn rate(&self, step: usize) -> f32 {
        self.0.rate(step)
    }
}

impl Ending for LinearWarmup {
    fn end(&self) -> usize {
        self.0.steps
    }
}
