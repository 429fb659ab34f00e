//! Adamax and NAdam: Adam with another norm, and with Nesterov's momentum.

use crate::error::Result;
use crate::graph::recording;
use crate::optim::ParamGroup;
use crate::optim::adam::valid_betas;
use crate::optim::driver::{Driver, Rule, Slot, Update, in_domain};
use crate::tensor::Tensor;

/// Adamax (Kingma & Ba 2015, arXiv 1412.6980, section 7.1): Adam with the infinity norm, `u ← max(β₂·u, |g| + ε)`,
/// `p ← p − lr/(1−β₁ᵗ) · m/u`.
///
/// ```
/// use wgrad::{Device, Tensor, optim::Adamax};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = Adamax::new(vec![w.clone()], 0.25);
/// (w.sum() * 3.0).backward()?;
/// optimizer.step()?; // the first step moves by the learning rate
/// assert!((w.to_vec::<f32>()?[0] - 0.75).abs() < 1e-5);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Adamax {
    driver: Driver<LargestNorm>,
}

struct LargestNorm {
    betas: (f32, f32),
    eps: f32,
    weight_decay: f32,
}

super::optimizer!(Adamax, LargestNorm { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 });

impl Adamax {
    /// Adamax with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> Adamax {
        Adamax::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// Decay rates of the first moment and of the norm.
    pub fn betas(mut self, betas: (f32, f32)) -> Adamax {
        self.driver.rule.betas = betas;
        self
    }

    /// Added to the gradient's absolute value.
    pub fn eps(mut self, eps: f32) -> Adamax {
        self.driver.rule.eps = eps;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> Adamax {
        self.driver.rule.weight_decay = weight_decay;
        self
    }
}

impl Rule for LargestNorm {
    fn name(&self) -> &'static str {
        "Adamax"
    }

    fn validate(&self) -> Result<()> {
        valid_betas("Adamax", self.betas)?;
        in_domain("Adamax", "eps", self.eps, |e| e >= 0.0)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg"), Slot::zero("exp_inf")]
    }

    fn counts(&self) -> bool {
        true
    }

    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let (b1, b2) = self.betas;
        let g = cx.decayed();
        let first = cx.state(0) * b1 + &g * (1.0 - b1);
        let norm = (cx.state(1) * b2).maximum(g.abs() + self.eps);
        let factor = cx.unbiased(b1, |bias| cx.rate() / bias, |bias| bias.recip().mul(recording::follow(cx.rate())));
        (cx.p - (&first / &norm).mul(factor), vec![first, norm])
    }
}

/// NAdam (Dozat 2016): Adam with Nesterov's momentum under a schedule of its own, `μₜ = β₁·(1 − 0.96^(t·ψ)/2)`,
/// `p ← p − lr/(√v̂ + ε) · ((1−μₜ)/(1−Πμ) · g + μₜ₊₁/(1−Πμ·μₜ₊₁) · m)`.
///
/// ```
/// use wgrad::{Device, Tensor, optim::NAdam};
/// let w = Tensor::ones([2], &Device::default()).requires_grad();
/// let mut optimizer = NAdam::new(vec![w.clone()], 0.1);
/// w.sum().backward()?;
/// optimizer.step()?;
/// assert!(w.to_vec::<f32>()?[0] < 1.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct NAdam {
    driver: Driver<Lookahead>,
}

struct Lookahead {
    betas: (f32, f32),
    eps: f32,
    weight_decay: f32,
    decoupled: bool,
    momentum_decay: f32,
}

super::optimizer!(
    NAdam,
    Lookahead { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false, momentum_decay: 4e-3 }
);

impl NAdam {
    /// NAdam with β = (0.9, 0.999), ε = 1e-8, ψ = 0.004 and no weight decay.
    pub fn new(parameters: Vec<Tensor>, lr: f32) -> NAdam {
        NAdam::with_groups(vec![ParamGroup::new(parameters)], lr)
    }

    /// Decay rates of the first and second moment.
    pub fn betas(mut self, betas: (f32, f32)) -> NAdam {
        self.driver.rule.betas = betas;
        self
    }

    /// Added to the denominator.
    pub fn eps(mut self, eps: f32) -> NAdam {
        self.driver.rule.eps = eps;
        self
    }

    /// Adds this much of the parameter to its gradient (L2 regularisation).
    pub fn weight_decay(mut self, weight_decay: f32) -> NAdam {
        self.driver.rule.weight_decay = weight_decay;
        self
    }

    /// Shrinks parameters by `lr · weight_decay` instead, as AdamW does.
    pub fn decoupled_weight_decay(mut self, decoupled: bool) -> NAdam {
        self.driver.rule.decoupled = decoupled;
        self
    }

    /// ψ, how fast the momentum reaches β₁.
    pub fn momentum_decay(mut self, momentum_decay: f32) -> NAdam {
        self.driver.rule.momentum_decay = momentum_decay;
        self
    }
}

impl Rule for Lookahead {
    fn name(&self) -> &'static str {
        "NAdam"
    }

    fn validate(&self) -> Result<()> {
        valid_betas("NAdam", self.betas)?;
        in_domain("NAdam", "momentum_decay", self.momentum_decay, |d| d >= 0.0)?;
        in_domain("NAdam", "eps", self.eps, |e| e >= 0.0)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg"), Slot::zero("exp_avg_sq"), Slot::scalar("mu_product", 1.0)]
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
        // μ is between 0.45 and 0.9, so `1 − μ` and `1 − Πμ` keep their digits.
        let fade = 0.96f64.powf(f64::from(self.momentum_decay));
        let unit = cx.state(2).ones_like();
        let mu = |ahead: f64| {
            let factor = cx.factor(
                |t| (1.0 - crate::graph::number::Formula::from(fade).powi(t + ahead) * 0.5) * b1,
                |t| ((t + ahead as f32) * fade.ln() as f32).exp() * (-0.5 * b1) + b1,
            );
            unit.mul(factor)
        };
        let (mu, next) = (mu(0.0), mu(1.0));
        let product = cx.state(2) * &mu;
        let along_g = (&unit - &mu) / (&unit - &product);
        let along_m = &next / (&unit - &product * &next);
        let root = second.sqrt().mul(cx.unbiased(b2, |bias| 1.0 / bias.sqrt(), |bias| bias.rsqrt()));
        let along = (&g * along_g + &first * along_m) / (root + self.eps);
        (base - along.mul(cx.lr()), vec![first, second, product])
    }
}
