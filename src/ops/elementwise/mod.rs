//! Elementwise ops: the table, its forward and backward ops, methods, casts, generators and user-defined ops.

pub(crate) mod cast;
mod dependence;
mod differences;
mod entries;
pub(crate) mod generate;
mod known;
pub(crate) mod methods;
pub(crate) mod op;
mod poisson;
pub mod table;
#[cfg(test)]
mod tests;
pub(crate) mod user;
pub(crate) mod wgsl;

pub use entries::{row, rows, select};
pub use op::{Definition, Forward};
pub use table::{Row, RowKind};
pub use wgsl::{PRELUDE, length};
