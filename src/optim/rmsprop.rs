//! RMSprop.

use crate::error::Result;
use crate::optim::ParamGroup;
use crate::optim::driver::{Driver, Rule, Slot, Update, in_domain};
use crate::tensor::Tensor;

/// RMSprop (Hinton 2012, lecture 6 of *Neural Networks for Machine Learning*, in PyTorch's form):
/// `s ← α·s + (1−α)·g²`, `p ← p − lr · g / (√s + ε)`; centered, the variance `s − m²` with `m ← α·m + (1−α)·g` takes the place
/// of `s` (Graves 2013, arXiv 1308.0850); with a momentum `b ← μ·b + g/(√s + ε)`, `p ← p − lr·b`.
///
/// ```
/// use wgrad::{Device, Tensor, optim::RmsProp};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = RmsProp::new(vec![w.clone()], 0.01).alpha(0.75);
/// w.sum().backward()?;
/// optimizer.step()?; // the mean square is 0.25, so the step is twice the learning rate
/// assert!((w.to_vec::<f32>()?[0] - 0.98).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct RmsProp {
    driver: Driver<MeanSquare>,
}

struct MeanSquare {
    alpha: f32,
    eps: f32,
    momentum: f32,
    centered: bool,
    weight_decay: f32,
}

super::optimizer!(RmsProp, MeanSquare { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 });

impl RmsProp {
    /// RMSprop with α = 0.99, ε = 1e-8, no momentum and no weight decay.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> RmsProp {
        RmsProp::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// How slowly the mean square forgets.
    pub fn alpha(mut self, alpha: f32) -> RmsProp {
        self.driver.rule.alpha = alpha;
        self
    }

    /// Added to the denominator.
    pub fn eps(mut self, eps: f32) -> RmsProp {
        self.driver.rule.eps = eps;
        self
    }

    /// Keeps a running sum of scaled gradients that fades by this factor a step.
    pub fn momentum(mut self, momentum: f32) -> RmsProp {
        self.driver.rule.momentum = momentum;
        self
    }

    /// Divides by an estimate of the standard deviation instead of the root of the mean square.
    pub fn centered(mut self, centered: bool) -> RmsProp {
        self.driver.rule.centered = centered;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> RmsProp {
        self.driver.rule.weight_decay = weight_decay;
        self
    }
}

impl Rule for MeanSquare {
    fn name(&self) -> &'static str {
        "RmsProp"
    }

    fn validate(&self) -> Result<()> {
        in_domain("RmsProp", "alpha", self.alpha, |a| a >= 0.0)?;
        in_domain("RmsProp", "eps", self.eps, |e| e >= 0.0)?;
        in_domain("RmsProp", "momentum", self.momentum, |m| m >= 0.0)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("square_avg")];
        if self.momentum != 0.0 {
            slots.push(Slot::zero("momentum_buffer"));
        }
        if self.centered {
            slots.push(Slot::zero("grad_avg"));
        }
        slots
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        let square = cx.state(0) * self.alpha + (&g * &g) * (1.0 - self.alpha);
        let mut states = vec![square.clone()];
        let mean = self.centered.then(|| cx.state(states_of_momentum(self) + 1).lerp(&g, 1.0 - self.alpha));
        let spread = match &mean {
            Some(mean) => &square - mean * mean,
            None => square,
        };
        let mut along = &g / (spread.sqrt() + self.eps);
        if self.momentum != 0.0 {
            along = cx.state(1) * self.momentum + along;
            states.push(along.clone());
        }
        states.extend(mean);
        (cx.p - along.mul(cx.lr()), states)
    }
}

/// State tensors that the momentum takes.
fn states_of_momentum(rule: &MeanSquare) -> usize {
    usize::from(rule.momentum != 0.0)
}
