//! RMSprop.

use crate::error::Result;
use crate::optim::driver::{Rule, StateField, Update, not_negative};
use crate::tensor::Tensor;

super::optimizer! {
    /// RMSprop (Hinton 2012, lecture 6 of *Neural Networks for Machine Learning*, in PyTorch's form):
    /// `s ← α·s + (1−α)·g²`, `p ← p − lr · g / (√s + ε)`; centered, the variance `s − m²` with `m ← α·m + (1−α)·g` takes the place
    /// of `s` (Graves 2013, arXiv 1308.0850); with a momentum `b ← μ·b + g/(√s + ε)`, `p ← p − lr·b`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RmsProp};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// let mut optimizer = RmsProp::new(vec![w.clone()], 0.01).alpha(0.75);
    /// w.sum().backward()?;
    /// optimizer.step()?; // the mean square is 0.25, so the step is twice the learning rate
    /// assert!((w.to_vec::<f32>()?[0] - 0.98).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    RmsProp(MeanSquare { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false });
    /// RMSprop with α = 0.99, ε = 1e-8, no momentum and no weight decay.
    new;
    weight_decay = 0.0, coupled;
    @momentum |rule| rule.momentum;
    /// How slowly the mean square forgets.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RmsProp};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = RmsProp::new(vec![w.clone()], 1.0).alpha(0.75);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 2.0).abs() < 1e-5); // 1 / √(0.25 · 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    alpha: f32;
    /// Added to the denominator.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RmsProp};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = RmsProp::new(vec![w.clone()], 1.0).alpha(0.0).eps(1.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // 1 / (√1 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// Keeps a running sum of scaled gradients that fades by this factor a step.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RmsProp};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = RmsProp::new(vec![w.clone()], 1.0).alpha(0.0).momentum(0.5);
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 2.5).abs() < 1e-5); // by 1, then by 1 + 0.5
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    momentum: f32;
    /// Divides by an estimate of the standard deviation instead of the root of the mean square.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::RmsProp};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = RmsProp::new(vec![w.clone()], 1.0).alpha(0.5).centered(true);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 2.0).abs() < 1e-5); // 1 / √(0.5 − 0.5²)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    centered: bool;
}

struct MeanSquare {
    alpha: f32,
    eps: f32,
    momentum: f32,
    centered: bool,
}

impl Rule for MeanSquare {
    fn validate(&self, op: &str) -> Result<()> {
        not_negative(op, &[("alpha", self.alpha), ("eps", self.eps), ("momentum", self.momentum)])
    }

    fn slots(&self) -> Vec<StateField> {
        let mut slots = vec![StateField::zero("square_avg")];
        if self.momentum != 0.0 {
            slots.push(StateField::zero("momentum_buffer"));
        }
        if self.centered {
            slots.push(StateField::zero("grad_avg"));
        }
        slots
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        let square = cx.mean(0, &self.alpha.into(), &(&g * &g));
        let mut states = vec![square.clone()];
        let mean = self.centered.then(|| cx.state(1 + usize::from(self.momentum != 0.0)).lerp(&g, 1.0 - self.alpha));
        let spread = match &mean {
            Some(mean) => &square - mean * mean,
            None => square,
        };
        let mut along = &g / (spread.sqrt() + self.eps);
        if self.momentum != 0.0 {
            along = cx.state(1).mul(cx.momentum(self.momentum)) + along;
            states.push(along.clone());
        }
        states.extend(mean);
        (cx.p - along.mul(cx.lr()), states)
    }
}
