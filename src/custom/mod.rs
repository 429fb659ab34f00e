//! Ops of your own.
//!
//! | what it is made of | |
//! |---|---|
//! | a forward and a backward pass in tensors | [`autograd::Function`](crate::autograd::Function) |
//! | a pair of scalar WGSL functions, which fuses like a built-in op | [`ElementwiseOp`] |
//! | complete WGSL kernels | [`Op`], with a [`Kernel`] |

mod elementwise;
mod kernel;
mod op;

pub use elementwise::ElementwiseOp;
pub use kernel::{Kernel, Param};
pub use op::{Backward, Op};

pub use crate::graph::{Bits, Meta, Unhashed};
