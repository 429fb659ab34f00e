//! Adagrad.

use crate::error::Result;
use crate::graph::recording;
use crate::optim::ParamGroup;
use crate::optim::driver::{Driver, Rule, Slot, Update, in_domain};
use crate::tensor::Tensor;

/// Adagrad (Duchi, Hazan & Singer 2011): `s ← s + g²`, `p ← p − lr/(1 + (t−1)·lr_decay) · g / (√s + ε)`.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Adagrad};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = Adagrad::new(vec![w.clone()], 0.5);
/// (w.sum() * 3.0).backward()?;
/// optimizer.step()?; // the first step moves by the learning rate
/// assert!((w.to_vec::<f32>()?[0] - 0.5).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Adagrad {
    driver: Driver<SumOfSquares>,
}

struct SumOfSquares {
    lr_decay: f32,
    eps: f32,
    start: f32,
    weight_decay: f32,
}

super::optimizer!(Adagrad, SumOfSquares { lr_decay: 0.0, eps: 1e-10, start: 0.0, weight_decay: 0.0 });

impl Adagrad {
    /// Adagrad with ε = 1e-10, sums from 0, and no decay of rate or weights.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Adagrad {
        Adagrad::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// Lowers the learning rate over time.
    pub fn lr_decay(mut self, lr_decay: f32) -> Adagrad {
        self.driver.rule.lr_decay = lr_decay;
        self
    }

    /// Added to the denominator.
    pub fn eps(mut self, eps: f32) -> Adagrad {
        self.driver.rule.eps = eps;
        self
    }

    /// What sums of squares start from.
    pub fn initial_accumulator_value(mut self, value: f32) -> Adagrad {
        self.driver.rule.start = value;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> Adagrad {
        self.driver.rule.weight_decay = weight_decay;
        self
    }
}

impl Rule for SumOfSquares {
    fn name(&self) -> &'static str {
        "Adagrad"
    }

    fn validate(&self) -> Result<()> {
        in_domain("Adagrad", "lr_decay", self.lr_decay, |d| d >= 0.0)?;
        in_domain("Adagrad", "eps", self.eps, |e| e >= 0.0)?;
        in_domain("Adagrad", "initial_accumulator_value", self.start, |s| s >= 0.0)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::from("sum", self.start)]
    }

    fn counts(&self) -> bool {
        self.lr_decay != 0.0
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        let sum = cx.state(0) + &g * &g;
        let along = g / (sum.sqrt() + self.eps);
        let value = if self.lr_decay == 0.0 {
            cx.p - along.mul(cx.lr())
        } else {
            let decay = self.lr_decay;
            let factor = cx.factor(
                |t| cx.rate() / ((t - 1.0) * decay + 1.0),
                |t| ((t - 1.0) * decay + 1.0).recip().mul(recording::follow(cx.rate())),
            );
            cx.p - along.mul(factor)
        };
        (value, vec![sum])
    }
}
