//! Adadelta.

use crate::error::Result;
use crate::optim::ParamGroup;
use crate::optim::driver::{Driver, Rule, Slot, Update, in_domain};
use crate::tensor::Tensor;

/// Adadelta (Zeiler 2012, arXiv 1212.5701): `s ← ρ·s + (1−ρ)·g²`, `d = √(a + ε)/√(s + ε) · g`, `a ← ρ·a + (1−ρ)·d²`,
/// `p ← p − lr·d`.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Adadelta};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = Adadelta::new(vec![w.clone()], 1.0);
/// w.sum().backward()?;
/// optimizer.step()?;
/// assert!(w.to_vec::<f32>()?[0] < 1.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Adadelta {
    driver: Driver<Ratio>,
}

struct Ratio {
    rho: f32,
    eps: f32,
    weight_decay: f32,
}

super::optimizer!(Adadelta, Ratio { rho: 0.9, eps: 1e-6, weight_decay: 0.0 });

impl Adadelta {
    /// Adadelta with ρ = 0.9, ε = 1e-6 and no weight decay. The usual learning rate is 1.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Adadelta {
        Adadelta::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// How slowly the means of squares forget.
    pub fn rho(mut self, rho: f32) -> Adadelta {
        self.driver.rule.rho = rho;
        self
    }

    /// Added under both roots.
    pub fn eps(mut self, eps: f32) -> Adadelta {
        self.driver.rule.eps = eps;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> Adadelta {
        self.driver.rule.weight_decay = weight_decay;
        self
    }
}

impl Rule for Ratio {
    fn name(&self) -> &'static str {
        "Adadelta"
    }

    fn validate(&self) -> Result<()> {
        in_domain("Adadelta", "rho", self.rho, |r| (0.0..=1.0).contains(&r))?;
        in_domain("Adadelta", "eps", self.eps, |e| e >= 0.0)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("square_avg"), Slot::zero("acc_delta")]
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        let square = cx.state(0) * self.rho + (&g * &g) * (1.0 - self.rho);
        let delta = (cx.state(1) + self.eps).sqrt() / (&square + self.eps).sqrt() * g;
        let moved = cx.state(1) * self.rho + (&delta * &delta) * (1.0 - self.rho);
        (cx.p - delta.mul(cx.lr()), vec![square, moved])
    }
}
