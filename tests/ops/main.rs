//! Every op on the GPU against the CPU reference: values, gradients, gradients of gradients.
//!
//! `cargo test --test ops -- --nocapture` prints the worst error of each elementwise op.

mod common;
mod create;
mod elementwise;
mod functional;
mod gradcheck;
mod grid;
mod indexing;
mod inputs;
mod losses;
mod matmul;
mod movement;
mod norms;
mod pooling;
mod random;
mod reduce;
mod rows;
mod special;
mod structured;
