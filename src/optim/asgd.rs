//! Averaged stochastic gradient descent.

use crate::error::Result;
use crate::graph::recording;
use crate::optim::driver::{Rule, StateField, Update, not_negative};
use crate::tensor::Tensor;

super::optimizer! {
    /// Averaged stochastic gradient descent (Polyak & Juditsky 1992, in PyTorch's form): `p ← p·(1 − λ·η) − η·g` with
    /// `η = lr/(1 + λ·lr·(t−1))^α`, and beside it the average of the parameters from step `t0` on, `a ← a + (p − a)·max(1, t−1−t0)⁻¹`.
    ///
    /// The averages are the entries `state.I.ax` of the state dictionary; [`Ema`](crate::optim::Ema) is the other way to average.
    /// PyTorch works η out at the end of a step for the next one; here it follows the learning rate at once.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Asgd};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// let mut optimizer = Asgd::new(vec![w.clone()], 0.25).lambd(0.0).t0(0.0);
    /// for _ in 0..2 {
    ///     optimizer.zero_grad();
    ///     w.sum().backward()?;
    ///     optimizer.step()?;
    /// }
    /// assert_eq!(w.to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Asgd(Averaged { lambd: 1e-4, alpha: 0.75, t0: 1e6 });
    /// With λ = 10⁻⁴, α = 0.75, averages from step 10⁶ on, and no weight decay.
    new;
    weight_decay = 0.0, coupled;
    /// λ, the decay.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Asgd};
    /// let w = Tensor::ones([1], &Device::default()).requires_grad();
    /// let mut optimizer = Asgd::new(vec![w.clone()], 0.5).lambd(0.5);
    /// (w.sum() * 0.0).backward()?; // without a gradient only the decay acts
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? - 0.75).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    lambd: f32;
    /// α, the power by which the learning rate falls.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Asgd};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Asgd::new(vec![w.clone()], 0.5).lambd(1.0).alpha(0.0);
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.75).abs() < 1e-5); // the rate does not fall: by 0.5 · 1, then by 0.5 · (1 − 0.5)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    alpha: f32;
    /// The step from which on parameters are averaged.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Asgd};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Asgd::new(vec![w.clone()], 1.0).lambd(0.0).t0(0.0);
    /// w.sum().backward()?; // a gradient of 1, for all steps
    /// (0..3).try_for_each(|_| optimizer.step())?;
    /// let average = optimizer.state_dict()["state.0.ax"].item::<f32>()?;
    /// assert!((average + 2.5).abs() < 1e-5 && (w.item::<f32>()? + 3.0).abs() < 1e-5); // the average of -2 and -3
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    t0: f32;
}

struct Averaged {
    lambd: f32,
    alpha: f32,
    t0: f32,
}

impl Rule for Averaged {
    fn validate(&self, op: &str) -> Result<()> {
        not_negative(op, &[("lambd", self.lambd), ("alpha", self.alpha), ("t0", self.t0)])
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("ax")]
    }

    fn counts(&self) -> bool {
        true
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let (lambd, alpha, t0) = (self.lambd, self.alpha, self.t0);
        let rate = || recording::follow(cx.rate());
        let eta = |scale: f32| {
            cx.factor(
                |t| cx.rate() / ((t - 1.0) * cx.rate() * lambd + 1.0).pow(alpha) * scale,
                |t| ((t - 1.0).mul(rate()) * lambd + 1.0).powf(-alpha).mul(rate()) * scale,
            )
        };
        let mu = cx.factor(|t| 1.0 / (t - 1.0 - t0).max(1.0), |t| (t - 1.0 - t0).clamp_min(1.0).recip());
        let g = cx.decayed();
        let value = cx.p - cx.p.mul(eta(lambd)) - g.mul(eta(1.0));
        let average = cx.state(0) + (&value - cx.state(0)).mul(mu);
        (value, vec![average])
    }
}
