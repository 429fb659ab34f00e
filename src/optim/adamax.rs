//! Adamax and NAdam: Adam with another norm, and with Nesterov's momentum.

use crate::error::Result;
use crate::graph::number::Formula;
use crate::optim::driver::{Rule, StateField, Update, not_negative, valid_betas};
use crate::tensor::Tensor;

super::optimizer! {
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
    Adamax(LargestNorm { betas: (0.9, 0.999), eps: 1e-8 });
    /// Adamax with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    new;
    weight_decay = 0.0, coupled;
    @momentum |rule| rule.betas.0;
    /// Decay rates of the first moment and of the norm.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adamax};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adamax::new(vec![w.clone()], 0.5).betas((0.0, 0.0));
    /// for gradient in [1.0, 3.0] {
    ///     optimizer.zero_grad();
    ///     (&w * gradient).sum().backward()?;
    ///     optimizer.step()?;
    /// }
    /// assert!((w.item::<f32>()? + 1.0).abs() < 1e-5); // only the sign is left of a gradient
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    betas: (f32, f32);
    /// Added to the gradient's absolute value.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adamax};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adamax::new(vec![w.clone()], 1.0).eps(1.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // 1 / (1 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
}

struct LargestNorm {
    betas: (f32, f32),
    eps: f32,
}

impl Rule for LargestNorm {
    fn validate(&self, op: &str) -> Result<()> {
        valid_betas(op, self.betas)?;
        not_negative(op, &[("eps", self.eps)])
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("exp_avg"), StateField::zero("exp_inf")]
    }

    fn counts(&self) -> bool {
        true
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let b1 = cx.momentum(self.betas.0);
        let g = cx.decayed();
        let first = cx.mean(0, &b1, &g);
        let norm = (cx.state(1) * self.betas.1).maximum(g.abs() + self.eps);
        (cx.p - (&first / &norm).mul(cx.unbiased_rate(b1)), vec![first, norm])
    }
}

super::optimizer! {
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
    NAdam(Lookahead { betas: (0.9, 0.999), eps: 1e-8, momentum_decay: 4e-3, decoupled_weight_decay: false });
    /// NAdam with β = (0.9, 0.999), ε = 1e-8, ψ = 0.004 and no weight decay.
    new;
    weight_decay = 0.0, either;
    /// Decay rates of the first and second moment.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::NAdam};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = NAdam::new(vec![w.clone()], 0.5).betas((0.0, 0.0));
    /// for gradient in [1.0, 3.0] {
    ///     optimizer.zero_grad();
    ///     (&w * gradient).sum().backward()?;
    ///     optimizer.step()?;
    /// }
    /// assert!((w.item::<f32>()? + 1.0).abs() < 1e-5); // only the sign is left of a gradient
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    betas: (f32, f32);
    /// Added to the denominator.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::NAdam};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = NAdam::new(vec![w.clone()], 1.0).eps(1.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.528).abs() < 1e-3); // half of 1.056
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// ψ, how fast the momentum reaches β₁.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::NAdam};
    /// let w = Tensor::ones([1], &Device::default()).requires_grad();
    /// let mut optimizer = NAdam::new(vec![w.clone()], 0.1).momentum_decay(1e3); // at once
    /// w.sum().backward()?;
    /// optimizer.step()?;
    /// assert!((optimizer.state_dict()["state.0.mu_product"].item::<f32>()? - 0.9).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    momentum_decay: f32;
    /// Shrinks parameters by `lr · weight_decay`, as AdamW does, instead of adding to gradients.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::NAdam};
    /// let w = Tensor::ones([1], &Device::default()).requires_grad();
    /// let mut optimizer = NAdam::new(vec![w.clone()], 0.5).weight_decay(0.5).decoupled_weight_decay(true);
    /// (w.sum() * 0.0).backward()?; // without a gradient only the decay acts
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? - 0.75).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    decoupled_weight_decay: bool;
}

struct Lookahead {
    betas: (f32, f32),
    eps: f32,
    momentum_decay: f32,
    decoupled_weight_decay: bool,
}

impl Rule for Lookahead {
    fn validate(&self, op: &str) -> Result<()> {
        valid_betas(op, self.betas)?;
        not_negative(op, &[("momentum_decay", self.momentum_decay), ("eps", self.eps)])
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("exp_avg"), StateField::zero("exp_avg_sq"), StateField::scalar("mu_product", 1.0)]
    }

    fn counts(&self) -> bool {
        true
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let (b1, b2) = self.betas;
        let (base, g) = cx.decay_into(self.decoupled_weight_decay);
        let first = cx.mean(0, &b1.into(), &g);
        let second = cx.mean(1, &b2.into(), &(&g * &g));
        // μ is between 0.45 and 0.9, so `1 − μ` and `1 − Πμ` keep their digits.
        let fade = 0.96f64.powf(f64::from(self.momentum_decay));
        let unit = cx.state(2).ones_like();
        let mu = |ahead: f64| {
            let factor = cx.factor(
                |t| (1.0 - Formula::from(fade).powi(t + ahead) * 0.5) * b1,
                |t| ((t + ahead as f32) * fade.ln() as f32).exp() * (-0.5 * b1) + b1,
            );
            unit.mul(factor)
        };
        let (mu, next) = (mu(0.0), mu(1.0));
        let product = cx.state(2) * &mu;
        let along_g = (&unit - &mu) / (&unit - &product);
        let along_m = &next / (&unit - &product * &next);
        let along = (&g * along_g + &first * along_m) / (cx.unbiased_root(&second, b2) + self.eps);
        (base - along.mul(cx.lr()), vec![first, second, product])
    }
}
