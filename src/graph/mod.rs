//! The lazy graph: nodes, the [`Op`] trait, order, structural hash, and its picture.

pub(crate) mod anomaly;
pub(crate) mod dot;
pub mod kernel;
pub(crate) mod node;
pub(crate) mod number;
pub(crate) mod op;
pub(crate) mod order;
pub(crate) mod pending_checks;
pub(crate) mod recording;
pub(crate) mod structure;
pub(crate) mod svg;
pub(crate) mod transaction;

pub(crate) use node::next_id;
pub use node::{Context, GradCell, Meta, Traits, Value, Var, enable_grad, here, no_grad, with_location};
pub use op::{IndexCheck, Op, Vjp};
pub use structure::{Bits, Structure, Unhashed};
