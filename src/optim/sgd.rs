//! Stochastic gradient descent.

use crate::error::{Error, Result};
use crate::graph::number::Formula;
use crate::optim::driver::{Rule, StateField, Update, in_domain, not_negative};
use crate::tensor::Tensor;

super::optimizer! {
    /// Stochastic gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form):
    /// `g ← g + λ·p`, `v ← μ·v + (1−τ)·g` (the first time `v ← g`), `p ← p − lr·v` (with Nesterov `p ← p − lr·(g + μ·v)`).
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Sgd};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// let mut optimizer = Sgd::new(vec![w.clone()], 0.1).momentum(0.9);
    /// (&w * &w).sum().backward()?;
    /// optimizer.step()?;
    /// assert_eq!(w.to_vec::<f32>()?, [0.8, 0.8]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Sgd(Descent { momentum: 0.0, dampening: 0.0, nesterov: false });
    /// Plain gradient descent on `parameters` (leaves made with `requires_grad`).
    new;
    weight_decay = 0.0, coupled;
    @momentum |rule| rule.momentum;
    /// Keeps a running sum of gradients that fades by this factor a step.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Sgd};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Sgd::new(vec![w.clone()], 1.0).momentum(0.5);
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert_eq!(w.item::<f32>()?, -2.5); // by 1, then by 1 + 0.5
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    momentum: f32;
    /// Takes this share off each gradient but the first before it is added to the running sum.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Sgd};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Sgd::new(vec![w.clone()], 1.0).momentum(0.5).dampening(0.5);
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert_eq!(w.item::<f32>()?, -2.0); // by 1, then by 0.5 · 1 + 0.5 · 1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    dampening: f32;
    /// Looks ahead along the velocity (Nesterov's momentum).
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Sgd};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Sgd::new(vec![w.clone()], 1.0).momentum(0.5).nesterov(true);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert_eq!(w.item::<f32>()?, -1.5); // by 1 + 0.5 · 1
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    nesterov: bool;
}

struct Descent {
    momentum: f32,
    dampening: f32,
    nesterov: bool,
}

impl Rule for Descent {
    fn validate(&self, op: &str) -> Result<()> {
        not_negative(op, &[("momentum", self.momentum)])?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let detail = format!(
                "Nesterov's momentum needs a momentum and no dampening, not momentum = {} and dampening = {}",
                self.momentum, self.dampening
            );
            return Err(Error::argument(op, detail));
        }
        in_domain(op, "dampening", self.dampening, "all finite numbers", f32::is_finite)
    }

    fn slots(&self) -> Vec<StateField> {
        if self.momentum == 0.0 { Vec::new() } else { vec![StateField::zero("momentum_buffer")] }
    }

    fn counts(&self) -> bool {
        // The first step takes the whole gradient.
        self.momentum != 0.0 && self.dampening != 0.0
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        if self.momentum == 0.0 {
            return (cx.p - g.mul(cx.lr()), Vec::new());
        }
        // From a velocity of zero the first step gives v = g, as in PyTorch.
        let momentum = cx.momentum(self.momentum);
        let v = cx.state(0).mul(momentum.clone());
        let v = if self.dampening == 0.0 {
            v + &g
        } else {
            // 1 at the first step, 1 − τ at all others: 0⁰ is 1.
            let rest = 1.0 - self.dampening;
            let factor = cx.factor(
                |t| 1.0 - (1.0 - Formula::from(0.0f64).powi(t - 1.0)) * self.dampening,
                |t| t.gt(1.0).where_(t.full_like(rest), t.ones_like()),
            );
            v + g.mul(factor)
        };
        let along = if self.nesterov { &g + v.mul(momentum) } else { v.clone() };
        (cx.p - along.mul(cx.lr()), vec![v])
    }
}
