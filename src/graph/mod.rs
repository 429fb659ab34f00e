//! The lazy graph: nodes, the [`Op`] trait, order, structural hash, and its picture.

pub mod anomaly;
pub mod dot;
pub mod doubt;
pub mod kernel;
pub mod node;
pub mod number;
pub mod op;
pub mod order;
pub mod recording;
pub mod svg;

pub use node::{Context, GradCell, Meta, Node, Traits, Value, Var, here, no_grad, with_location};
pub use op::{Op, Vjp};
