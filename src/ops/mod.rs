//! The ops, one file a family. Each defines shape rule, kernel, gradient and CPU reference in one place.

pub mod cat;
pub mod elementwise;
pub mod matmul;
pub mod movement;
pub mod place;
pub mod real;
pub mod reduce;
pub mod routine;
pub mod scalar;
pub mod statistics;
