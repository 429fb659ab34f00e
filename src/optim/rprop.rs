//! Rprop.

use crate::error::{Error, Result};
use crate::optim::driver::{Rule, StateField, Update};
use crate::tensor::Tensor;

super::optimizer! {
    /// Resilient backpropagation (Riedmiller & Braun 1993, without its way back), for whole batches: each element moves against the sign of
    /// its gradient by a step of its own, which begins at the learning rate, grows by η₊ while the sign stays and shrinks by η₋ where it
    /// changes; there the element waits a step.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Rprop};
    /// let w = Tensor::from_slice(&[1f32, -8.0], [2], &Device::default()).requires_grad();
    /// let mut optimizer = Rprop::new(vec![w.clone()], 0.25);
    /// for _ in 0..2 {
    ///     optimizer.zero_grad();
    ///     w.square().sum().backward()?;
    ///     optimizer.step()?; // by 0.25, then by 0.25 · 1.2
    /// }
    /// assert!((w.to_vec::<f32>()?[1] + 7.45).abs() < 1e-5);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    Rprop(Resilient { etas: (0.5, 1.2), step_sizes: (1e-6, 50.0) });
    /// With η = (0.5, 1.2) and steps between 10⁻⁶ and 50.
    new;
    weight_decay = 0.0, coupled;
    /// η₋ and η₊, what steps are multiplied by where the sign changes and where it stays.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Rprop};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Rprop::new(vec![w.clone()], 0.25).etas((0.5, 2.0));
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert_eq!(w.item::<f32>()?, -0.75); // by 0.25, then by twice as much
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    etas: (f32, f32);
    /// The smallest and the largest step.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, optim::Rprop};
    /// let w = Tensor::zeros([1], &Device::default()).requires_grad();
    /// let mut optimizer = Rprop::new(vec![w.clone()], 0.25).step_sizes((0.0, 0.25));
    /// w.sum().backward()?; // a gradient of 1, for both steps
    /// optimizer.step()?;
    /// optimizer.step()?;
    /// assert_eq!(w.item::<f32>()?, -0.5); // by 0.25 twice
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    step_sizes: (f32, f32);
}

struct Resilient {
    etas: (f32, f32),
    step_sizes: (f32, f32),
}

impl Rule for Resilient {
    fn validate(&self, op: &str) -> Result<()> {
        let ((minus, plus), (least, most)) = (self.etas, self.step_sizes);
        if !(0.0 < minus && minus < 1.0 && 1.0 < plus) {
            return Err(Error::argument(
                op,
                format!("etas = ({minus}, {plus}) must lie below and above 1, the first above 0"),
            ));
        }
        if !(0.0 <= least && least <= most) {
            return Err(Error::argument(op, format!("step_sizes = ({least}, {most}) are no range of sizes")));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<StateField> {
        vec![StateField::zero("prev"), StateField::rate("step_size")]
    }

    fn update(&self, cx: &Update) -> (Tensor, Vec<Tensor>) {
        let ((minus, plus), (least, most)) = (self.etas, self.step_sizes);
        let g = cx.decayed();
        // Signs first: products of small gradients would vanish.
        let agreement = g.sign() * cx.state(0).sign();
        let factor =
            agreement.gt(0.0).where_(g.full_like(plus), agreement.lt(0.0).where_(g.full_like(minus), g.ones_like()));
        let size = (cx.state(1) * factor).clamp(least, most);
        let g = agreement.lt(0.0).where_(g.zeros_like(), &g);
        (cx.p - g.sign() * &size, vec![g, size])
    }
}
