//! wgrad: a GPU-first tensor autodiff engine on wgpu compute shaders.

pub mod array;
mod backend;
pub mod caps;
mod codegen;
pub mod dtype;
pub mod env;
pub mod error;
#[doc(hidden)]
pub mod gpu;
pub mod graph;
pub mod layout;
pub mod ops;
#[doc(hidden)]
pub mod schedule;
pub mod shape;
