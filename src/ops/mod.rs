//! The ops, one file a family. Each defines shape rule, kernel, gradient and CPU reference in one place.

pub mod elementwise;
pub mod movement;
pub mod real;
pub mod scalar;
