//! Elementwise ops: the table, its forward and backward ops, methods, casts, generators and user-defined ops.

pub mod cast;
pub mod generate;
pub mod methods;
pub mod op;
mod rows;
pub mod table;
#[cfg(test)]
mod tests;
pub mod user;
pub mod wgsl;

pub use op::{Backward, Definition, Forward};
pub use rows::{row, rows};
pub use table::{Kind, Reference, Row};
pub use user::ElementwiseOp;
pub use wgsl::PRELUDE;
