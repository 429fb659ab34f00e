//! Gradients as values and gradient checks. `backward` is a method of [`Tensor`](crate::Tensor).

pub use crate::custom::ElementwiseOp;
pub use crate::tensor::autograd::{grad, grad_allow_unused, grad_retain_graph, grad_with};
pub use crate::tensor::checkpoint::{checkpoint, detect_anomaly};
pub use crate::tensor::function::{Function, Saved};
pub use crate::tensor::functional::{hessian, hvp, jacobian, jvp, vjp};
pub use crate::tensor::gradcheck::{GradcheckReport, gradcheck, gradgradcheck};
