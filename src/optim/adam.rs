//! Adam and AdamW.

use crate::error::Result;
use crate::graph::recording;
use crate::optim::ParamGroup;
use crate::optim::driver::{Driver, Rule, Slot, Update, in_domain};
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
    driver: Driver<Moments>,
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
pub struct AdamW {
    driver: Driver<Moments>,
}

struct Moments {
    betas: (f32, f32),
    eps: f32,
    weight_decay: f32,
    decoupled: bool,
    amsgrad: bool,
}

impl Moments {
    fn new(weight_decay: f32, decoupled: bool) -> Moments {
        Moments { betas: (0.9, 0.999), eps: 1e-8, weight_decay, decoupled, amsgrad: false }
    }
}

super::optimizer!(Adam, Moments::new(0.0, false));
super::optimizer!(AdamW, Moments::new(0.01, true));

impl Adam {
    /// Adam with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Adam {
        Adam::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> Adam {
        self.driver.rule.weight_decay = weight_decay;
        self
    }
}

impl AdamW {
    /// AdamW with β = (0.9, 0.999), ε = 1e-8 and a weight decay of 0.01.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> AdamW {
        AdamW::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// Shrinks parameters by `lr` times this a step.
    pub fn weight_decay(mut self, weight_decay: f32) -> AdamW {
        self.driver.rule.weight_decay = weight_decay;
        self
    }
}

macro_rules! moments {
    ($($name:ident),*) => {$(
        impl $name {
            /// Decay rates of the first and second moment.
            pub fn betas(mut self, betas: (f32, f32)) -> $name {
                self.driver.rule.betas = betas;
                self
            }

            /// Added to the denominator.
            pub fn eps(mut self, eps: f32) -> $name {
                self.driver.rule.eps = eps;
                self
            }

            /// Divides by the largest second moment so far (Reddi et al. 2018, "On the Convergence of Adam and Beyond").
            pub fn amsgrad(mut self, amsgrad: bool) -> $name {
                self.driver.rule.amsgrad = amsgrad;
                self
            }
        }
    )*};
}
moments!(Adam, AdamW);

/// Decay rates lie in 0..1.
pub(super) fn valid_betas(op: &str, betas: (f32, f32)) -> Result<()> {
    in_domain(op, "beta1", betas.0, |b| (0.0..1.0).contains(&b))?;
    in_domain(op, "beta2", betas.1, |b| (0.0..1.0).contains(&b))
}

impl Rule for Moments {
    fn name(&self) -> &'static str {
        if self.decoupled { "AdamW" } else { "Adam" }
    }

    fn validate(&self) -> Result<()> {
        valid_betas(self.name(), self.betas)?;
        in_domain(self.name(), "eps", self.eps, |e| e >= 0.0)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("exp_avg"), Slot::zero("exp_avg_sq")];
        if self.amsgrad {
            slots.push(Slot::zero("max_exp_avg_sq"));
        }
        slots
    }

    fn counts(&self) -> bool {
        true
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let (b1, b2) = self.betas;
        let (base, g) = if self.decoupled { (cx.shrunk(), cx.g.clone()) } else { (cx.p.clone(), cx.decayed()) };
        let first = cx.state(0) * b1 + &g * (1.0 - b1);
        let second = cx.state(1) * b2 + (&g * &g) * (1.0 - b2);
        let largest = self.amsgrad.then(|| cx.state(2).maximum(&second));
        let spread = largest.as_ref().unwrap_or(&second);
        let root = spread.sqrt().mul(cx.unbiased(b2, |bias| 1.0 / bias.sqrt(), |bias| bias.rsqrt()));
        let factor = cx.unbiased(b1, |bias| cx.rate() / bias, |bias| bias.recip().mul(recording::follow(cx.rate())));
        let value = base - (&first / (root + self.eps)).mul(factor);
        let mut states = vec![first, second];
        states.extend(largest);
        (value, states)
    }
}
