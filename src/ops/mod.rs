//! The ops, one file a family. Each defines shape rule, kernel, gradient and CPU reference in one place.

pub mod cat;
pub mod cross_entropy;
pub mod elementwise;
pub mod index;
pub mod interpolate;
pub mod loss;
pub mod matmul;
pub mod movement;
pub mod norm;
pub mod place;
pub mod pool;
pub mod real;
pub mod reduce;
pub mod routine;
pub mod scalar;
pub mod softmax;
pub mod statistics;
pub mod window;
