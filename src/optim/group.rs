//! Groups of parameters.

use crate::optim::Rate;
use crate::tensor::Tensor;

/// Parameters that share a learning rate and a weight decay, where these differ from those of the rest.
///
/// ```
/// use wgrad::{Device, Tensor, optim::{AdamW, ParamGroup}};
/// let device = Device::default();
/// let (w, b) = (Tensor::ones([2], &device).requires_grad(), Tensor::ones([1], &device).requires_grad());
/// let groups = vec![ParamGroup::new(vec![w.clone()]), ParamGroup::new(vec![b.clone()]).lr(0.2).weight_decay(0.0)];
/// let mut optimizer = AdamW::with_groups(groups, 0.1).weight_decay(0.5);
/// (w.sum() * 0.0 + b.sum() * 0.0).backward()?; // without a gradient only the decay acts
/// optimizer.step()?;
/// assert_eq!((w.to_vec::<f32>()?, b.to_vec::<f32>()?), (vec![0.95, 0.95], vec![1.0]));
/// assert_eq!(optimizer.rates()[1].get(), 0.2);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParamGroup {
    pub(super) parameters: Vec<Tensor>,
    pub(super) lr: Option<f32>,
    pub(super) weight_decay: Option<f32>,
}

impl ParamGroup {
    /// A group with the optimizer's own learning rate and weight decay.
    pub fn new(parameters: Vec<Tensor>) -> ParamGroup {
        ParamGroup { parameters, lr: None, weight_decay: None }
    }

    /// The group's learning rate.
    pub fn lr(mut self, lr: f32) -> ParamGroup {
        self.lr = Some(lr);
        self
    }

    /// The group's weight decay, which the optimizer applies in its own way.
    pub fn weight_decay(mut self, weight_decay: f32) -> ParamGroup {
        self.weight_decay = Some(weight_decay);
        self
    }
}

/// A group as an optimizer keeps it.
pub(super) struct Group {
    pub rate: Rate,
    pub weight_decay: Option<f32>,
}
