//! Data sets and mini-batches.

pub mod csv;
pub mod dataloader;
pub mod dataset;
pub mod digits;
pub mod idx;
pub mod loader;
pub mod mnist;
pub mod text;

pub use csv::Csv;
pub use dataloader::{DataLoader, Epoch, Position};
pub use dataset::{Dataset, Subset, TensorDataset};
pub use digits::Digits;
pub use idx::Idx;
pub use loader::Batches;
pub use mnist::Mnist;
pub use text::{CharCorpus, Vocabulary, Windows};
