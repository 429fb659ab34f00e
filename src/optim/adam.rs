//! Adam and AdamW.

use std::panic::Location;

use crate::error::Result;
use crate::optim::{Optimizer, run, update_all, zeros_state};
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
    lr: f32,
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
    steps: i32,
}

impl Adam {
    /// Adam with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Adam {
        let state = parameters.iter().map(|_| None).collect();
        Adam { parameters, lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false, state }
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

    /// The new value and moments of parameter `i`.
    fn update(&self, i: usize, grad: Tensor) -> Result<(Tensor, Moments)> {
        let p = &self.parameters[i];
        let (b1, b2) = self.betas;
        let (old_first, old_second, steps) = match &self.state[i] {
            Some(Moments { first, second, steps }) => (first.clone(), second.clone(), steps + 1),
            None => (zeros_state(p)?, zeros_state(p)?, 1),
        };
        let mut base = p.clone();
        let mut g = grad;
        if self.weight_decay != 0.0 {
            if self.decoupled {
                base = p * (1.0 - self.lr * self.weight_decay);
            } else {
                g = &g + p * self.weight_decay;
            }
        }
        let first = old_first * b1 + &g * (1.0 - b1);
        let second = old_second * b2 + (&g * &g) * (1.0 - b2);
        // In f64: 1 − β₂ᵗ loses half its digits in f32 at the first steps.
        let bias1 = (1.0 - f64::from(b1).powi(steps)) as f32;
        let bias2 = (1.0 - f64::from(b2).powi(steps)) as f32;
        let denominator = second.sqrt() * (1.0 / bias2.sqrt()) + self.eps;
        let value = base - (&first / denominator) * (self.lr / bias1);
        Ok((value, Moments { first, second, steps }))
    }
}

impl Optimizer for Adam {
    #[track_caller]
    fn step(&mut self) -> Result<()> {
        let moments = update_all(self.name(), &self.parameters, Location::caller(), |i, grad| self.update(i, grad))?;
        for (i, moments) in moments {
            self.state[i] = Some(moments);
        }
        run(&self.parameters)
    }

    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn set_lr(&mut self, lr: f32) {
        self.lr = lr;
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

    fn set_lr(&mut self, lr: f32) {
        self.0.set_lr(lr);
    }
}
