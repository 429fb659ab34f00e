//! Adam and AdamW.

use crate::error::Result;
use crate::optim::driver::{Rule, StateField, Update, not_negative, valid_betas};
use crate::tensor::Tensor;

super::optimizer! {
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
    Adam(Moments { betas: (0.9, 0.999), eps: 1e-8, amsgrad: false, decoupled: false });
    /// Adam with β = (0.9, 0.999), ε = 1e-8 and no weight decay.
    new;
    weight_decay = 0.0, coupled;
    @momentum |rule| rule.betas.0;
    /// Decay rates of the first and second moment.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adam};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adam::new(vec![w.clone()], 0.5).betas((0.0, 0.0));
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
    /// use wgrad::{Device, Tensor, optim::Adam};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adam::new(vec![w.clone()], 1.0).eps(1.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // 1 / (√1 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// Divides by the largest second moment so far (Reddi et al. 2018, "On the Convergence of Adam and Beyond").
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adam};
    /// let w = Tensor::ones([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adam::new(vec![w.clone()], 0.1).amsgrad(true);
    /// w.sum().backward()?;
    /// optimizer.step()?;
    /// assert!(optimizer.state_dict().contains_key("state.0.max_exp_avg_sq"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    amsgrad: bool;
}

super::optimizer! {
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
    AdamW(Moments { betas: (0.9, 0.999), eps: 1e-8, amsgrad: false, decoupled: true });
    /// AdamW with β = (0.9, 0.999), ε = 1e-8 and a weight decay of 0.01.
    new;
    weight_decay = 0.01, decoupled;
    @momentum |rule| rule.betas.0;
    /// Decay rates of the first and second moment.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::AdamW};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = AdamW::new(vec![w.clone()], 0.5).weight_decay(0.0).betas((0.0, 0.0));
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
    /// use wgrad::{Device, Tensor, optim::AdamW};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = AdamW::new(vec![w.clone()], 1.0).eps(1.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // 1 / (√1 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// Divides by the largest second moment so far (Reddi et al. 2018, "On the Convergence of Adam and Beyond").
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::AdamW};
    /// let w = Tensor::ones([1], &Device::default()).requires_grad();
    /// let mut optimizer = AdamW::new(vec![w.clone()], 0.1).amsgrad(true);
    /// w.sum().backward()?;
    /// optimizer.step()?;
    /// assert!(optimizer.state_dict().contains_key("state.0.max_exp_avg_sq"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    amsgrad: bool;
}

struct Moments {
    betas: (f32, f32),
    eps: f32,
    amsgrad: bool,
    /// Whether the weight decay is apart from the gradient.
    decoupled: bool,
}

impl Rule for Moments {
    fn validate(&self, op: &str) -> Result<()> {
        valid_betas(op, self.betas)?;
        not_negative(op, &[("eps", self.eps)])
    }

    fn slots(&self) -> Vec<StateField> {
        let mut slots = vec![StateField::zero("exp_avg"), StateField::zero("exp_avg_sq")];
        if self.amsgrad {
            slots.push(StateField::zero("max_exp_avg_sq"));
        }
        slots
    }

    fn counts(&self) -> bool {
        true
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let (b1, b2) = (cx.momentum(self.betas.0), self.betas.1);
        let (base, g) = cx.decay_into(self.decoupled);
        let first = cx.mean(0, &b1, &g);
        let second = cx.mean(1, &b2.into(), &(&g * &g));
        let largest = self.amsgrad.then(|| cx.state(2).maximum(&second));
        let root = cx.unbiased_root(largest.as_ref().unwrap_or(&second), b2);
        let value = base - (&first / (root + self.eps)).mul(cx.unbiased_rate(b1));
        let mut states = vec![first, second];
        states.extend(largest);
        (value, states)
    }
}
