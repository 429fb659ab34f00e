//! The traits behind the generic parameters of methods: what may stand for a number, an index, a size or an element. For functions of your own
//! that pass such arguments on.
//!
//! ```
//! use wgrad::arguments::Operand;
//! use wgrad::{Device, Tensor};
//! fn shifted(x: &Tensor, by: impl Operand) -> Tensor {
//!     x.maximum(by) + 1.0
//! }
//! let x = Tensor::from_slice(&[-1f32, 2.0], [2], &Device::default());
//! assert_eq!(shifted(&x, 0.0).to_vec::<f32>()?, [1.0, 3.0]);
//! assert_eq!(shifted(&x, &x).to_vec::<f32>()?, [0.0, 3.0]);
//! # Ok::<(), wgrad::Error>(())
//! ```

pub use crate::array::{ArrayElement, HostElement};
pub use crate::dtype::Element;
pub use crate::tensor::capture::Outputs;
pub use crate::tensor::{Offset, Operand, Position, Positions, Sizes};
