//! wgrad trains neural networks on any GPU that [wgpu](https://docs.rs/wgpu) reaches: tensors, automatic differentiation and
//! optimizers on WGSL compute shaders.
//!
//! ```
//! use wgrad::optim::Sgd;
//! use wgrad::{Device, Tensor};
//!
//! # fn main() -> wgrad::Result<()> {
//! let device = Device::default(); // the best GPU adapter, else the CPU reference
//! let x = Tensor::randn([64, 3], &device);
//! let y = x.matmul(&Tensor::from_slice(&[1f32, -2.0, 3.0], [3, 1], &device));
//! let w = Tensor::zeros([3, 1], &device).requires_grad();
//! let mut optimizer = Sgd::new(vec![w.clone()], 0.1);
//! for _ in 0..100 {
//!     optimizer.zero_grad();
//!     (x.matmul(&w) - &y).square().mean().backward()?;
//!     optimizer.step()?;
//! }
//! println!("{w}"); // close to [[1], [-2], [3]]
//! # let w = w.to_vec::<f32>()?;
//! # assert!((w[0] - 1.0).abs() < 1e-2 && (w[1] + 2.0).abs() < 1e-2 && (w[2] - 3.0).abs() < 1e-2);
//! # Ok(())
//! # }
//! ```
//!
//! Ops are recorded and run when a value is read, or at [`Tensor::realize`], [`Device::sync`] and an optimizer's step. What is
//! pending then is fused into few kernels and sent as one submission. Bad input makes a tensor that carries an [`Error`] with
//! the line that caused it; the error comes out at the first read, `backward` or `step`, so that model code needs no `?` a line.
//!
//! # Map
//!
//! | what | where |
//! |---|---|
//! | tensors: creation, elementwise ops, reductions, movement, `matmul`, reading | [`Tensor`] |
//! | adapters, seeds, statistics | [`Device`] |
//! | gradients | [`Tensor::backward`], [`autograd`], [`no_grad`] |
//! | optimizers, learning rates | [`optim`], [`optim::lr`] |
//! | mixed precision | [`amp`] |
//! | steps that are recorded once and replayed, also from a file | [`capture`], [`load_captured`] |
//! | layers and models | [`nn`] |
//! | losses | [`nn::loss`] |
//! | options of pooling and resizing | [`Pool`], [`AvgPool`], [`Interpolate`] |
//! | data sets and mini-batches | [`data`] |
//! | tensors in files: safetensors, npz | [`io`] |
//! | training loops, checkpoints, curves | [`train`] |
//! | element types, shapes, errors | [`DType`], [`Shape`], [`Error`] |
//! | the traits behind generic parameters | [`arguments`] |
//! | own ops, from WGSL functions or whole kernels | [`custom`] |
//! | own gradients, in tensors | [`autograd::Function`] |
//!
//! `docs/supported.md` has the table of what is supported, `docs/environment.md` the environment variables, `docs/platforms.md` the limits; `ARCHITECTURE.md` says how the crate is built.

pub mod amp;
pub mod arguments;
mod array;
pub mod autograd;
mod backend;
mod caps;
pub mod certify;
mod codegen;
mod compiling;
pub mod custom;
pub mod data;
mod differentiate;
mod dims;
mod dtype;
mod env;
pub mod error;
mod file;
mod fuse;
mod gpu;
mod graph;
mod host;
#[doc(hidden)]
pub mod internals;
pub mod io;
mod ir;
mod layout;
pub mod nn;
mod ops;
pub mod optim;
mod plan;
mod shape;
mod site;
mod state;
mod tensor;
mod trace;
pub mod train;
mod tuning;
mod wait;

pub use backend::{Device, DeviceInfo, Explanation, KernelReport, KernelTotals, Memory, RngState, Stats, StoredValue};
pub use caps::Target;
pub use dtype::DType;
pub use error::{Error, Result};
pub use graph::{enable_grad, no_grad};
pub use half::f16;
pub use ir::{EndReason, StoreReason};
/// The crate of host arrays, in the version that [`Tensor::to_array`] and [`custom::Op::reference`] use.
pub use ndarray;
pub use ops::conv::{Conv, ConvTranspose, Padding};
pub use ops::index::ScatterReduction;
pub use ops::interpolate::Interpolate;
pub use ops::per_dim::PerDim;
pub use ops::pool::{AvgPool, Pool};
pub use plan::PlanSummary;
pub use shape::Shape;
pub use tensor::Tensor;
pub use tensor::capture::{Captured, Variable, capture, load_captured, load_captured_bytes};

/// Compiles and runs the examples of the README and of the guides.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../docs/coming-from-pytorch.md")]
    struct ComingFromPyTorch;
    #[doc = include_str!("../docs/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../docs/custom-ops.md")]
    struct CustomOps;
    #[doc = include_str!("../docs/performance.md")]
    struct Performance;
    #[doc = include_str!("../docs/troubleshooting.md")]
    struct Troubleshooting;
    #[doc = include_str!("../docs/browser.md")]
    struct Browser;
}
