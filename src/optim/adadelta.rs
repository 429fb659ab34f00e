//! Adadelta.

use crate::error::Result;
use crate::optim::driver::{Rule, StateField, Update, in_domain, not_negative};
use crate::tensor::Tensor;

super::optimizer! {
    /// Adadelta (Zeiler 2012, arXiv 1212.5701): `s ← ρ·s + (1−ρ)·g²`, `d = √(a + ε)/√(s + ε) · g`, `a ← ρ·a + (1−ρ)·d²`,
    /// `p ← p − lr·d`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adadelta};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// let mut optimizer = Adadelta::new(vec![w.clone()], 1.0);
    /// w.sum().backward()?;
    /// optimizer.step()?;
    /// assert!(w.to_vec::<f32>()?[0] < 1.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Adadelta(Ratio { rho: 0.9, eps: 1e-6 });
    /// Adadelta with ρ = 0.9, ε = 1e-6 and no weight decay. The usual learning rate is 1.
    new;
    weight_decay = 0.0, coupled;
    /// How slowly the means of squares forget.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adadelta};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adadelta::new(vec![w.clone()], 1.0).rho(0.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.001).abs() < 1e-6); // √1e-6 / √(1 + 1e-6)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    rho: f32;
    /// Added under both roots.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adadelta};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adadelta::new(vec![w.clone()], 1.0).eps(0.9);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.948_683).abs() < 1e-5); // √0.9 / √(0.1 + 0.9)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
}

struct Ratio {
    rho: f32,
    eps: f32,
}

impl Rule for Ratio {
    fn validate(&self, op: &str) -> Result<()> {
        in_domain(op, "rho", self.rho, "[0, 1]", |r| (0.0..=1.0).contains(&r))?;
        not_negative(op, &[("eps", self.eps)])
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("square_avg"), StateField::zero("acc_delta")]
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        let square = cx.mean(0, &self.rho.into(), &(&g * &g));
        let delta = (cx.state(1) + self.eps).sqrt() / (&square + self.eps).sqrt() * g;
        let moved = cx.mean(1, &self.rho.into(), &(&delta * &delta));
        (cx.p - delta.mul(cx.lr()), vec![square, moved])
    }
}
