//! What networks are built from: layers with PyTorch's parameter names, shapes and initial values, and losses.
//!
//! A layer is a plain struct with public fields. A model is a struct of layers: `#[derive(Module)]` makes its fields parts of it,
//! [`Module::forward`] says how they are put together, and [`Parameters`] gives everything else.
//!
//! ```
//! use wgrad::nn::{Dropout, Linear, Module, Parameters, loss};
//! use wgrad::optim::Adam;
//! use wgrad::{Device, Tensor};
//!
//! #[derive(Module)]
//! struct Mlp {
//!     fc1: Linear,
//!     dropout: Dropout,
//!     fc2: Linear,
//! }
//!
//! impl Module for Mlp {
//!     fn forward(&self, x: &Tensor) -> Tensor {
//!         let hidden = self.dropout.forward(&self.fc1.forward(x).relu());
//!         self.fc2.forward(&hidden)
//!     }
//! }
//!
//! let device = Device::default();
//! let model = Mlp {
//!     fc1: Linear::new(64, 32, &device),
//!     dropout: Dropout::new(0.2),
//!     fc2: Linear::new(32, 10, &device),
//! };
//! let mut optimizer = Adam::new(model.parameters(), 1e-3);
//! let (x, y) = (Tensor::randn([16, 64], &device), Tensor::randint([16], 0, 10, &device));
//! loss::cross_entropy(&model.forward(&x), &y).backward()?;
//! optimizer.step()?;
//! model.eval(); // dropout lets everything through from here on
//! assert_eq!(model.forward(&x).shape(), [16, 10]);
//! let names: Vec<String> = model.named_parameters().into_iter().map(|(name, _)| name).collect();
//! assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
//! # Ok::<(), wgrad::Error>(())
//! ```

mod activation;
mod arrange;
mod attention;
mod conv;
mod dropout;
mod embedding;
pub mod init;
mod linear;
pub mod loss;
mod module;
mod norm;
mod parametrize;
mod pool;
mod recurrent;
mod reduction;
mod renew;
mod sequential;
mod summary;
mod transformer;

pub use crate::state::{StateDict, Unmatched};
pub use activation::*;
pub use arrange::{Flatten, Identity, Pad, PixelShuffle, PixelUnshuffle, Unflatten, Upsample};
pub use attention::MultiheadAttention;
pub use conv::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use dropout::{AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d};
pub use embedding::Embedding;
pub use linear::{Bilinear, Linear};
pub use module::{Member, Members, Mode, Module, Parameters};
pub use norm::{BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm, LayerNorm, RmsNorm};
pub use parametrize::{SpectralNorm, WeightNorm, Weighted};
pub use pool::*;
pub use recurrent::{Direction, Gru, Lstm, Recurrent, Rnn};
pub use renew::MembersMut;
pub use sequential::{Lambda, Sequential};
pub use summary::{Summary, SummaryRow, summary, summary_with};
pub use transformer::{
    Activation, Transformer, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer,
};
pub use wgrad_derive::Module;
