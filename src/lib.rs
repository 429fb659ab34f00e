//! wgrad: a GPU-first tensor autodiff engine on wgpu compute shaders.

pub mod caps;
pub mod dtype;
pub mod env;
pub mod error;
#[doc(hidden)]
pub mod gpu;
pub mod layout;
pub mod shape;
