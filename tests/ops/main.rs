//! Every op on the GPU against the CPU reference: values, gradients, gradients of gradients.
//!
//! `cargo test --test ops -- --nocapture` prints the worst error of each elementwise op.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attention;
mod attention_tiles;
mod cancel;
mod common;
mod conv;
mod create;
mod cumulative;
mod custom;
mod duals;
mod einsum;
mod elementwise;
mod functional;
mod gradcheck;
mod grid;
mod half;
mod indexing;
mod inputs;
mod invalid;
mod layers;
mod losses;
mod matmul;
mod movement;
mod norms;
mod numbers;
mod order;
mod pooling;
mod precision;
mod random;
mod ranks;
mod rearrange;
mod reduce;
mod resize;
mod rows;
mod sampling;
mod scatter;
mod slicing;
mod special;
mod structured;
mod unfold;
