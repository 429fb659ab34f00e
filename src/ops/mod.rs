//! The ops, one file per family. Each defines shape rule, kernel, gradient and CPU reference in one place.

pub(crate) mod assign;
pub(crate) mod attention;
pub(crate) mod cat;
pub(crate) mod conv;
pub(crate) mod cross_entropy;
pub(crate) mod diagonal;
pub(crate) mod einsum;
pub mod elementwise;
pub(crate) mod float;
pub(crate) mod index;
pub(crate) mod interpolate;
pub(crate) mod kernels;
pub(crate) mod loss;
#[doc(hidden)]
pub mod matmul;
pub(crate) mod movement;
#[doc(hidden)]
pub mod norm;
pub(crate) mod pad;
pub(crate) mod per_dim;
pub(crate) mod pool;
pub(crate) mod reduce;
#[doc(hidden)]
pub mod registry;
pub(crate) mod rope;
pub(crate) mod routine;
pub(crate) mod row_kernels;
pub(crate) mod sampling;
pub(crate) mod scalar;
pub(crate) mod scan;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod statistics;
pub(crate) mod unfold;
pub(crate) mod window;
