//! Lion.

use crate::error::Result;
use crate::optim::driver::{Rule, StateField, Update, valid_betas};
use crate::tensor::Tensor;

super::optimizer! {
    /// Lion (Chen et al. 2023, arXiv 2302.06675): `p ← p − lr·(sign(β₁·m + (1−β₁)·g) + λ·p)`, `m ← β₂·m + (1−β₂)·g`. Half of Adam's
    /// state; the usual learning rate is 3 to 10 times smaller than Adam's, the weight decay as many times larger.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Lion};
    /// let w = Tensor::from_slice(&[1f32, -1.0], [2], &Device::default()).requires_grad();
    /// let mut optimizer = Lion::new(vec![w.clone()], 0.25);
    /// w.square().sum().backward()?;
    /// optimizer.step()?; // every element moves by the learning rate
    /// assert_eq!(w.to_vec::<f32>()?, [0.75, -0.75]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Lion(Sign { betas: (0.9, 0.99) });
    /// Lion with β = (0.9, 0.99) and no weight decay.
    new;
    weight_decay = 0.0, decoupled;
    /// The momentum's weight in the update, and its decay rate.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Lion};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Lion::new(vec![w.clone()], 0.25).betas((0.9, 0.0));
    /// for gradient in [1.0, -1.0] {
    ///     optimizer.zero_grad();
    ///     (&w * gradient).sum().backward()?;
    ///     optimizer.step()?;
    /// }
    /// assert_eq!(w.item::<f32>()?, -0.5); // the momentum, 1, outweighs the second gradient
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    betas: (f32, f32);
}

struct Sign {
    betas: (f32, f32),
}

impl Rule for Sign {
    fn validate(&self, op: &str) -> Result<()> {
        valid_betas(op, self.betas)
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("exp_avg")]
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let (b1, b2) = self.betas;
        let (m, g) = (cx.state(0), &cx.g);
        let along = (m * b1 + g * (1.0 - b1)).sign();
        (cx.shrunk() - along.mul(cx.lr()), vec![m * b2 + g * (1.0 - b2)])
    }
}
