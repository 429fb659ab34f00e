//! Dropout.

use crate::nn::{Members, Mode, Module, Parameters};
use crate::tensor::Tensor;

/// In training, elements become 0 with probability `p` and the others are divided by `1 − p`; in evaluation nothing happens.
/// See [`Tensor::dropout`].
///
/// ```
/// use wgrad::nn::{Dropout, Module, Parameters};
/// use wgrad::{Device, Tensor};
/// let dropout = Dropout::new(0.5);
/// let x = Tensor::ones([1000], &Device::default());
/// assert!(dropout.forward(&x).to_vec::<f32>()?.contains(&0.0));
/// dropout.eval();
/// assert_eq!(dropout.forward(&x).sum().item::<f32>()?, 1000.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Probability of becoming 0.
    pub p: f32,
    /// Training or evaluation.
    pub mode: Mode,
}

impl Dropout {
    /// Dropout with probability `p`, in `0..=1`.
    pub fn new(p: f32) -> Dropout {
        Dropout { p, mode: Mode::new() }
    }
}

impl Parameters for Dropout {
    fn members(&self, members: &mut Members) {
        members.add("mode", &self.mode);
    }
}

impl Module for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.dropout(self.p, self.mode.training())
    }
}
