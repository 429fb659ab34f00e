//! Adam and AdamW.

use std::panic::Location;

use crate::error::{Error, Result};
use crate::graph::number::{Count, Formula};
use crate::graph::recording;
use crate::optim::{Optimizer, Rate, fill_states, run, update_all, zeros_state};
use crate::tensor::Tensor;

/// Adam (Kingma & Ba 2015, arXiv 1412.6980): `m ← β₁·m + (1−β₁)·g`, `v ← β₂·v + (1−β₂)·g²`,
/// `p ← p − lr · m̂ / (√v̂ + ε)` with `m̂ = m/(1−β₁ᵗ)`, `v̂ = v/(1−β₂ᵗ)`.
///
/// ```
/// use wgrad::{Device, Tensor, optim::{Adam, Optimizer}};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = Adam::new(vec![w.clone()], 0.1);
/// for _ in 0..100 {
///     optimizer.zero_grad();
///     w.square().sum().backward()?;
///     optimizer.step()?;
/// }
/// assert!(w.abs().max().item::<f32>()? < 0.05);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Adam {
    parameters: Vec<Tensor>,
    rate: Rate,
    betas: (f32, f32),
    eps: f32,
    weight_decay: f32,
    decoupled: bool,
    state: Vec<Option<Moments>>,
}

/// Running moments of one parameter's gradient.
struct Moments {
    first: Tensor,
    second: Tensor,
    steps: Count,
}

impl Adam {
    /// Adam with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Adam {
        let state = parameters.iter().map(|_| None).collect();
        Adam {
            parameters,
            rate: Rate::new(lr),
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            state,
        }
    }

    /// Decay rates of the first and second moment.
    pub fn betas(mut self, betas: (f32, f32)) -> Adam {
        self.betas = betas;
        self
    }

    /// Added to the denominator.
    pub fn eps(mut self, eps: f32) -> Adam {
        self.eps = eps;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> Adam {
        self.weight_decay = weight_decay;
        self
    }

    /// What errors call it.
    fn name(&self) -> &'static str {
        if self.decoupled { "AdamW" } else { "Adam" }
    }

    /// The learning rate's handle, to set it while a captured step owns the optimizer.
    pub fn rate(&self) -> Rate {
        self.rate.clone()
    }

    /// The new value of parameter `i`, and its new moments.
    fn update(&self, i: usize, grad: Tensor) -> Result<(Tensor, [Tensor; 2])> {
        let p = &self.parameters[i];
        let (b1, b2) = self.betas;
        let Some(old) = &self.state[i] else { return Err(Error::argument(self.name(), "moments are missing")) };
        // In f64: 1 − β₂ᵗ loses half its digits in f32 at the first steps.
        let bias = |beta: f32| 1.0 - Formula::from(beta).powi(old.steps.formula() + 1.0);
        let mut base = p.clone();
        let mut g = grad;
        if self.weight_decay != 0.0 {
            if self.decoupled {
                base = p.mul(recording::follow(1.0 - self.rate.formula() * self.weight_decay));
            } else {
                g = &g + p * self.weight_decay;
            }
        }
        let first = &old.first * b1 + &g * (1.0 - b1);
        let second = &old.second * b2 + (&g * &g) * (1.0 - b2);
        let denominator = second.sqrt().mul(recording::follow(1.0 / bias(b2).sqrt())) + self.eps;
        let value = base - (&first / denominator).mul(recording::follow(self.rate.formula() / bias(b1)));
        Ok((value, [first, second]))
    }
}

impl Optimizer for Adam {
    #[track_caller]
    fn step(&mut self) -> Result<()> {
        fill_states(&self.parameters, &mut self.state, |p| {
            Ok(Moments { first: zeros_state(p)?, second: zeros_state(p)?, steps: Count::default() })
        })?;
        let moments = update_all(self.name(), &self.parameters, Location::caller(), |i, grad| self.update(i, grad))?;
        for (i, [first, second]) in moments {
            let Some(state) = &self.state[i] else { continue };
            state.first.advance(&first);
            state.second.advance(&second);
            state.steps.advance();
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

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101): parameters shrink by `lr · weight_decay` a
/// step, apart from the gradient.
///
/// ```
/// use wgrad::{Device, Tensor, optim::{AdamW, Optimizer}};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = AdamW::new(vec![w.clone()], 0.1).weight_decay(0.1);
/// (&w * 0.0).sum().backward()?; // without a gradient only the decay acts
/// optimizer.step()?;
/// assert_eq!(w.to_vec::<f32>()?, [0.99, 0.99]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct AdamW(Adam);

impl AdamW {
    /// AdamW with β = (0.9, 0.999), ε = 1e-8 and a weight decay of 0.01.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> AdamW {
        let mut adam = Adam::new(parameters, lr).weight_decay(0.01);
        adam.decoupled = true;
        AdamW(adam)
    }

    /// Decay rates of the first and second moment.
    pub fn betas(self, betas: (f32, f32)) -> AdamW {
        AdamW(self.0.betas(betas))
    }

    /// Added to the denominator.
    pub fn eps(self, eps: f32) -> AdamW {
        AdamW(self.0.eps(eps))
    }

    /// The learning rate's handle, to set it while a captured step owns the optimizer.
    pub fn rate(&self) -> Rate {
        self.0.rate()
    }

    /// Shrinks parameters by `lr` times this a step.
    pub fn weight_decay(self, weight_decay: f32) -> AdamW {
        AdamW(self.0.weight_decay(weight_decay))
    }
}

impl Optimizer for AdamW {
    #[track_caller]
    fn step(&mut self) -> Result<()> {
        Optimizer::step(&mut self.0)
    }

    fn parameters(&self) -> &[Tensor] {
        self.0.parameters()
    }

    fn lr(&self) -> f32 {
        self.0.lr()
    }

    #[track_caller]
    fn set_lr(&mut self, lr: f32) {
        self.0.set_lr(lr);
    }
}
