//! Mixed precision: [`autocast`] and [`GradScaler`].
//!
//! ```
//! use wgrad::amp::{GradScaler, autocast};
//! use wgrad::{Device, Tensor, nn::loss, optim::Sgd};
//! let device = Device::cpu(); // has f16 always; a GPU adapter may lack it
//! let w = Tensor::zeros([3, 1], &device).requires_grad();
//! let mut optimizer = Sgd::new(vec![w.clone()], 0.1);
//! let mut scaler = GradScaler::new(&device);
//! let x = Tensor::randn([64, 3], &device);
//! let y = x.matmul(&Tensor::from_slice(&[1f32, -2.0, 3.0], [3, 1], &device));
//! for _ in 0..60 {
//!     optimizer.zero_grad();
//!     let loss = autocast(&device, || loss::mse(&x.matmul(&w), &y))?;
//!     scaler.scale(&loss).backward()?;
//!     scaler.step(&mut optimizer)?;
//!     scaler.update()?;
//! }
//! assert!((w.to_vec::<f32>()?[2] - 3.0).abs() < 0.05);
//! # Ok::<(), wgrad::Error>(())
//! ```

mod scaler;

pub use crate::tensor::autocast::{Autocast, autocast};
pub use scaler::GradScaler;
