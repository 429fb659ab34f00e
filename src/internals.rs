//! What the project's own tests and benchmarks see of the engine. Nothing here is promised: it may change or go at any time.

pub use crate::array::Array;
pub use crate::caps::Caps;
pub use crate::graph::{Meta, Op, Var, kernel};
pub use crate::ir::hash::StructuralHasher;
pub use crate::ops::elementwise::{Row, RowKind, row, rows};
pub use crate::ops::matmul::plan;
pub use crate::ops::norm::Statistic;
pub use crate::ops::registry;

use crate::backend::Device;
use crate::tensor::Tensor;

/// The node of a tensor.
pub fn node(tensor: &Tensor) -> Var {
    tensor.node()
}

/// The tensor of a node.
pub fn tensor(var: Var, device: &Device) -> Tensor {
    Tensor::from_var(var, device)
}
