//! wgrad: a GPU-first tensor autodiff engine on wgpu compute shaders.

pub mod array;
pub mod autograd;
mod backend;
pub mod caps;
mod codegen;
pub mod data;
mod differentiate;
pub mod dtype;
pub mod env;
pub mod error;
#[doc(hidden)]
pub mod gpu;
pub mod graph;
pub mod layout;
pub mod nn;
pub mod ops;
pub mod optim;
#[doc(hidden)]
pub mod schedule;
pub mod shape;
pub mod tensor;

#[doc(hidden)]
pub use backend::null::PlanSummary;
pub use backend::{Device, DeviceInfo, Memory, Stats};
pub use dtype::DType;
pub use error::{Error, Result};
pub use graph::no_grad;
pub use shape::Shape;
pub use tensor::Tensor;
