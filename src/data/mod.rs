//! Data sets and mini-batches.

pub mod digits;
pub mod loader;

pub use digits::Digits;
pub use loader::Batches;
