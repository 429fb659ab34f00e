//! Data sets and mini-batches.

mod csv;
mod dataloader;
mod dataset;
mod digits;
mod idx;
mod loader;
mod mnist;
mod random;
mod text;

pub use csv::Csv;
pub use dataloader::{DataLoader, Epoch, Position};
pub use dataset::{Augmented, Dataset, Subset, TensorDataset};
pub use digits::Digits;
pub use idx::Idx;
pub use loader::Batches;
pub use mnist::Mnist;
pub use random::Random;
pub use text::{CharCorpus, Vocabulary, Windows};
