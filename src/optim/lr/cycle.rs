//! Schedules that go up and down.

use crate::optim::lr::{Ending, Schedule, cosine};

/// The way from one rate to the next.
///
/// ```
/// use wgrad::optim::lr::{Anneal, OneCycle, Schedule};
/// let schedule = OneCycle::new(1.0, 8).pct_start(0.625).div_factor(2.0).anneal(Anneal::Linear);
/// assert_eq!([0, 1, 4].map(|t| schedule.rate(t)), [0.5, 0.625, 1.0]);
/// ```
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
/// (Smith & Topin 2018, arXiv 1708.07120; PyTorch's `OneCycleLR`.) [`OneCycle::momentum`] is the momentum's cycle beside it.
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

    /// The momentum's cycle: down from `max` to `base` while the rate rises, and back while it falls. PyTorch's values are 0.85 and 0.95.
    pub fn momentum(&self, base: f32, max: f32) -> OneCycleMomentum {
        OneCycleMomentum { cycle: self.clone(), base, max }
    }

    /// Along the phases from point to point: to the second at the end of the rise, to the last at the end.
    fn along(&self, step: usize, points: [f32; 4]) -> f32 {
        let (total, rise) = (self.total_steps as f64, f64::from(self.pct_start) * self.total_steps as f64);
        let [first, peak, back, last] = points;
        let two = [(rise - 1.0, first, peak), (total - 1.0, peak, last)];
        let three = [(rise - 1.0, first, peak), (2.0 * rise - 2.0, peak, back), (total - 1.0, back, last)];
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

impl Schedule for OneCycle {
    fn rate(&self, step: usize) -> f32 {
        let first = f64::from(self.max_lr) / f64::from(self.div_factor);
        let last = first / f64::from(self.final_div_factor);
        self.along(step, [first as f32, self.max_lr, first as f32, last as f32])
    }
}

impl Ending for OneCycle {
    fn end(&self) -> usize {
        self.total_steps
    }
}

/// The momentum's side of a cycle; see [`OneCycle::momentum`].
///
/// ```
/// use wgrad::optim::lr::{OneCycle, Schedule};
/// let momentum = OneCycle::new(0.1, 100).momentum(0.85, 0.95);
/// assert_eq!((momentum.rate(0), momentum.rate(29)), (0.95, 0.85));
/// ```
#[derive(Clone, Debug)]
pub struct OneCycleMomentum {
    cycle: OneCycle,
    base: f32,
    max: f32,
}

impl Schedule for OneCycleMomentum {
    fn rate(&self, step: usize) -> f32 {
        self.cycle.along(step, [self.max, self.base, self.max, self.max])
    }
}

impl Ending for OneCycleMomentum {
    fn end(&self) -> usize {
        self.cycle.total_steps
    }
}

/// How the height of [`Cyclic`] changes over time.
///
/// ```
/// use wgrad::optim::lr::{Cyclic, CyclicScale, Schedule};
/// let schedule = Cyclic::new(0.0, 1.0, 2).scale(CyclicScale::ExpRange(0.5));
/// assert_eq!([0, 1, 2, 3].map(|t| schedule.rate(t)), [0.0, 0.25, 0.25, 0.0625]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CyclicScale {
    /// Not at all.
    #[default]
    Triangular,
    /// Halved from cycle to cycle.
    Triangular2,
    /// Multiplied by this at each step.
    ExpRange(f32),
}

/// From `base_lr` to `max_lr` and back along straight lines, again and again. (Smith 2017, arXiv 1506.01186; PyTorch's `CyclicLR`.)
///
/// ```
/// use wgrad::optim::lr::{Cyclic, CyclicScale, Schedule};
/// let schedule = Cyclic::new(0.0, 1.0, 2).steps_down(4).scale(CyclicScale::Triangular2);
/// assert_eq!([0, 1, 2, 4, 6, 8].map(|t| schedule.rate(t)), [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]);
/// ```
#[derive(Clone, Debug)]
pub struct Cyclic {
    base_lr: f32,
    max_lr: f32,
    steps_up: usize,
    steps_down: usize,
    scale: CyclicScale,
}

impl Cyclic {
    /// Up in `steps_up` steps (at least 1) and down in as many.
    pub fn new(base_lr: f32, max_lr: f32, steps_up: usize) -> Cyclic {
        let steps = steps_up.max(1);
        Cyclic { base_lr, max_lr, steps_up: steps, steps_down: steps, scale: CyclicScale::Triangular }
    }

    /// Down in another number of steps (at least 1).
    pub fn steps_down(mut self, steps_down: usize) -> Cyclic {
        self.steps_down = steps_down.max(1);
        self
    }

    /// How the height changes.
    pub fn scale(mut self, scale: CyclicScale) -> Cyclic {
        self.scale = scale;
        self
    }
}

impl Schedule for Cyclic {
    fn rate(&self, step: usize) -> f32 {
        let length = self.steps_up + self.steps_down;
        let (cycle, within) = (step / length, step % length);
        let height = if within <= self.steps_up {
            within as f64 / self.steps_up as f64
        } else {
            (length - within) as f64 / self.steps_down as f64
        };
        let scale = match self.scale {
            CyclicScale::Triangular => 1.0,
            CyclicScale::Triangular2 => 0.5f64.powf(cycle as f64),
            CyclicScale::ExpRange(gamma) => f64::from(gamma).powf(step as f64),
        };
        let (base, most) = (f64::from(self.base_lr), f64::from(self.max_lr));
        (base + (most - base) * height * scale) as f32
    }
}
