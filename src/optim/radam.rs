//! RAdam.

use crate::dtype::DType;
use crate::error::Result;
use crate::graph::number::Formula;
use crate::optim::driver::{Factor, Rule, StateField, Update, not_negative, valid_betas};
use crate::tensor::Tensor;

super::optimizer! {
    /// RAdam (Liu et al. 2020, arXiv 1908.03265): Adam that divides by `√v̂` only once enough steps were taken for it to be trusted, and
    /// then by degrees. With `ρ∞ = 2/(1−β₂) − 1` and `ρ = ρ∞ − 2t·β₂ᵗ/(1−β₂ᵗ)`: `p ← p − lr · m̂ · r / (√v̂ + ε)` with
    /// `r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ))` where ρ is above 5, else `p ← p − lr · m̂`. It needs no warm-up of the learning rate.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RAdam};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// let mut optimizer = RAdam::new(vec![w.clone()], 0.125);
    /// (w.sum() * 2.0).backward()?;
    /// optimizer.step()?; // a first step along the gradient itself
    /// assert!((w.to_vec::<f32>()?[0] - 0.75).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    RAdam(Rectified { betas: (0.9, 0.999), eps: 1e-8, decoupled_weight_decay: false });
    /// RAdam with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    new;
    weight_decay = 0.0, either;
    @momentum |rule| rule.betas.0;
    /// Decay rates of the first and second moment.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RAdam};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = RAdam::new(vec![w.clone()], 0.5).betas((0.0, 0.0));
    /// for gradient in [1.0, 3.0] {
    ///     optimizer.zero_grad();
    ///     (&w * gradient).sum().backward()?;
    ///     optimizer.step()?;
    /// }
    /// assert!((w.item::<f32>()? + 2.0).abs() < 1e-5); // never trusted: along the gradients themselves
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    betas: (f32, f32);
    /// Added to the denominator.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RAdam};
    /// let moved = |eps: f32| -> wgrad::Result<f32> {
    ///     let w = Tensor::zeros([1], &Device::cpu()).requires_grad();
    ///     let mut optimizer = RAdam::new(vec![w.clone()], 1.0).eps(eps);
    ///     w.sum().backward()?;
    ///     (0..8).try_for_each(|_| optimizer.step())?;
    ///     w.abs().item::<f32>()
    /// };
    /// assert!(moved(1.0)? < moved(1e-8)?);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// Shrinks parameters by `lr · weight_decay`, as AdamW does, instead of adding to gradients.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RAdam};
    /// let w = Tensor::ones([1], &Device::default()).requires_grad();
    /// let mut optimizer = RAdam::new(vec![w.clone()], 0.5).weight_decay(0.5).decoupled_weight_decay(true);
    /// (w.sum() * 0.0).backward()?; // without a gradient only the decay acts
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? - 0.75).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    decoupled_weight_decay: bool;
}

struct Rectified {
    betas: (f32, f32),
    eps: f32,
    decoupled_weight_decay: bool,
}

/// The length ρ of the average above which it is trusted.
const TRUSTED: f32 = 5.0;

impl Rectified {
    /// The factor of `m̂/(√v + ε)`, 0 while `v` is not trusted, and that of `m̂` alone, which is 0 after that.
    fn factors(&self, cx: &Update) -> [Factor; 2] {
        let beta = f64::from(self.betas.1);
        let limit = 2.0 / (1.0 - beta) - 1.0;
        // A limit that is not above the bound is never reached.
        let scale = if limit > TRUSTED.into() { limit / ((limit - 4.0) * (limit - 2.0)) } else { 0.0 };
        let length = |t: Formula| {
            let power = Formula::from(beta).powi(t.clone());
            limit - t * 2.0 * power.clone() / (1.0 - power)
        };
        let rectified = |t: Formula| {
            let rho = length(t.clone());
            let bias = 1.0 - Formula::from(beta).powi(t);
            let square = (rho.clone() - 4.0) * (rho.clone() - 2.0) / rho.clone() * scale * bias;
            square.max(0.0).sqrt() * rho.above(TRUSTED)
        };
        // In f32, ρ is a small difference of large numbers at first, so `x/(eˣ − 1)` with `x = −t ln β` is a series there.
        let log = -beta.ln();
        let device_length = |t: &Tensor| {
            let x = t * log as f32;
            let series = t * ((&x * &x * &x) / 360.0 - &x / 6.0 + 1.0) + (limit - 2.0 / log) as f32;
            let direct = (t * -2.0) / x.expm1() + limit as f32;
            x.lt(0.5).where_(&series, &direct)
        };
        let device_rectified = |t: &Tensor| {
            let rho = device_length(t);
            let bias = -(t * -log as f32).expm1();
            let square = (&rho - 4.0) * (&rho - 2.0) / &rho * scale as f32 * bias;
            rho.gt(TRUSTED).where_(square.clamp_min(0.0).sqrt(), square.zeros_like())
        };
        [
            cx.factor(rectified, device_rectified),
            cx.factor(|t| 1.0 - length(t).above(TRUSTED), |t| device_length(t).le(TRUSTED).to_dtype(DType::F32)),
        ]
    }
}

impl Rule for Rectified {
    fn validate(&self, op: &str) -> Result<()> {
        valid_betas(op, self.betas)?;
        not_negative(op, &[("eps", self.eps)])
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("exp_avg"), StateField::zero("exp_avg_sq")]
    }

    fn counts(&self) -> bool {
        true
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let b1 = cx.momentum(self.betas.0);
        let (base, g) = cx.decay_into(self.decoupled_weight_decay);
        let first = cx.mean(0, &b1, &g);
        let second = cx.mean(1, &self.betas.1.into(), &(&g * &g));
        let [rectified, plain] = self.factors(cx);
        let scale = (second.sqrt() + self.eps).recip().mul(rectified).add(plain);
        (base - (&first * scale).mul(cx.unbiased_rate(b1)), vec![first, second])
    }
}
