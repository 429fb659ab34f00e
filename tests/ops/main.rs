//! Every op on the GPU against the CPU reference: values, gradients, gradients of gradients.
//!
//! `cargo test --test ops -- --nocapture` prints the worst error of each elementwise op.

mod common;
mod elementwise;
mod gradcheck;
mod losses;
mod matmul;
mod movement;
mod random;
mod reduce;
mod special;
mod structured;
