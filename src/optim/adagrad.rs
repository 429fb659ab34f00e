//! Adagrad.

use crate::error::Result;
use crate::graph::recording;
use crate::optim::driver::{Rule, StateField, Update, not_negative};
use crate::tensor::Tensor;

super::optimizer! {
    /// Adagrad (Duchi, Hazan & Singer 2011): `s ← s + g²`, `p ← p − lr/(1 + (t−1)·lr_decay) · g / (√s + ε)`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adagrad};
    /// let w = Tensor::ones([2], &Device::default()).requires_grad();
    /// let mut optimizer = Adagrad::new(vec![w.clone()], 0.5);
    /// (w.sum() * 3.0).backward()?;
    /// optimizer.step()?; // the first step moves by the learning rate
    /// assert!((w.to_vec::<f32>()?[0] - 0.5).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Adagrad(SumOfSquares { lr_decay: 0.0, eps: 1e-10, initial_accumulator_value: 0.0 });
    /// Adagrad with ε = 1e-10, sums from 0, and no decay of rate or weights.
    new;
    weight_decay = 0.0, coupled;
    /// Lowers the learning rate over time.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adagrad};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adagrad::new(vec![w.clone()], 1.0).lr_decay(1.0);
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 1.353_553).abs() < 1e-5); // by 1, then by (1 / 2) / √2
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    lr_decay: f32;
    /// Added to the denominator.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adagrad};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adagrad::new(vec![w.clone()], 1.0).eps(1.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // 1 / (√1 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    eps: f32;
    /// What sums of squares start from.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Adagrad};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Adagrad::new(vec![w.clone()], 1.0).initial_accumulator_value(3.0);
    /// w.sum().backward()?; // a gradient of 1
    /// optimizer.step()?;
    /// assert!((w.item::<f32>()? + 0.5).abs() < 1e-5); // 1 / √(3 + 1)
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    initial_accumulator_value: f32;
}

struct SumOfSquares {
    lr_decay: f32,
    eps: f32,
    initial_accumulator_value: f32,
}

impl Rule for SumOfSquares {
    fn validate(&self, op: &str) -> Result<()> {
        let start = self.initial_accumulator_value;
        not_negative(op, &[("lr_decay", self.lr_decay), ("eps", self.eps), ("initial_accumulator_value", start)])
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::from("sum", self.initial_accumulator_value)]
    }

    fn counts(&self) -> bool {
        self.lr_decay != 0.0
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let g = cx.decayed();
        let sum = cx.state(0) + &g * &g;
        let along = g / (sum.sqrt() + self.eps);
        let value = if self.lr_decay == 0.0 {
            cx.p - along.mul(cx.lr())
        } else {
            let decay = self.lr_decay;
            let factor = cx.factor(
                |t| cx.rate() / ((t - 1.0) * decay + 1.0),
                |t| ((t - 1.0) * decay + 1.0).recip().mul(recording::follow(cx.rate())),
            );
            cx.p - along.mul(factor)
        };
        (value, vec![sum])
    }
}
