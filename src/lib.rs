//! wgrad: a GPU-first tensor autodiff engine on wgpu compute shaders.

pub mod array;
pub mod caps;
mod codegen;
pub mod dtype;
pub mod env;
pub mod error;
pub mod graph;
pub mod layout;
pub mod ops;
pub mod schedule;
pub mod shape;
