//! Stochastic gradient descent.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::optim::{Optimizer, Rate, fill_states, run, update_all, zeros_state};
use crate::tensor::Tensor;

/// Stochastic gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form):
/// `g ← g + λ·p`, `v ← μ·v + g`, `p ← p − lr·v` (with Nesterov `p ← p − lr·(g + μ·v)`).
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
pub struct Sgd {
    parameters: Vec<Tensor>,
    rate: Rate,
    momentum: f32,
    nesterov: bool,
    weight_decay: f32,
    velocity: Vec<Option<Tensor>>,
}

impl Sgd {
    /// Plain gradient descent on `parameters` (leaves made with `requires_grad`).
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Sgd {
        let velocity = vec![None; parameters.len()];
        let rate = Rate::new(lr);
        Sgd { parameters, rate, momentum: 0.0, nesterov: false, weight_decay: 0.0, velocity }
    }

    /// Keeps a running sum of gradients that fades by this factor a step.
    pub fn momentum(mut self, momentum: f32) -> Sgd {
        self.momentum = momentum;
        self
    }

    /// Looks ahead along the velocity (Nesterov's momentum).
    pub fn nesterov(mut self, nesterov: bool) -> Sgd {
        self.nesterov = nesterov;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> Sgd {
        self.weight_decay = weight_decay;
        self
    }

    /// The learning rate's handle, to set it while a captured step owns the optimizer.
    pub fn rate(&self) -> Rate {
        self.rate.clone()
    }

    /// The new value and velocity of parameter `i`.
    fn update(&self, i: usize, grad: Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let p = &self.parameters[i];
        let mut g = grad;
        let mut velocity = None;
        if self.weight_decay != 0.0 {
            g = &g + p * self.weight_decay;
        }
        if self.momentum != 0.0 {
            // From a velocity of zero the first step gives v = g, as in PyTorch.
            let Some(old) = &self.velocity[i] else { return Err(Error::argument("Sgd", "a velocity is missing")) };
            let v = old * self.momentum + &g;
            g = if self.nesterov { &g + &v * self.momentum } else { v.clone() };
            velocity = Some(v);
        }
        let value = p - g.mul(self.rate.number());
        Ok((value, velocity))
    }
}

impl Optimizer for Sgd {
    #[track_caller]
    fn step(&mut self) -> Result<()> {
        if self.momentum != 0.0 {
            fill_states(&self.parameters, &mut self.velocity, zeros_state)?;
        }
        let velocities = update_all("Sgd", &self.parameters, Location::caller(), |i, grad| self.update(i, grad))?;
        for (i, new) in velocities {
            if let (Some(velocity), Some(new)) = (&self.velocity[i], new) {
                velocity.advance(&new);
            }
        }
        run(&self.parameters)
    }

    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn lr(&self) -> f32 {
        self.rate.get()
    }

    #[track_caller]
    fn set_lr(&mut self, lr: f32) {
        self.rate.set(lr);
    }
}
