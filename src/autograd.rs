//! Gradients as values and gradient checks. `backward` is a method of [`Tensor`](crate::Tensor).

pub use crate::ops::elementwise::ElementwiseOp;
pub use crate::tensor::autograd::{GradcheckReport, grad, grad_with, gradcheck, gradgradcheck};
