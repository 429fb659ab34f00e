//! wgrad: a GPU-first tensor autodiff engine on wgpu compute shaders.

pub mod caps;
pub mod dtype;
pub mod error;
pub mod layout;
pub mod shape;
