//! What networks are built from.

pub mod loss;
