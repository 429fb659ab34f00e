//! The ops, one file a family. Each defines shape rule, kernel, gradient and CPU reference in one place.

pub mod attention;
pub mod cat;
pub mod conv;
pub mod cross_entropy;
pub mod diagonal;
pub mod einsum;
pub mod elementwise;
pub mod index;
pub mod loss;
pub mod matmul;
pub mod movement;
pub mod place;
pub mod real;
pub mod reduce;
pub mod rope;
pub mod routine;
pub mod scalar;
pub mod scan;
pub mod softmax;
pub mod sort;
pub mod statistics;
pub mod unfold;
