//! From pending nodes to kernels: which nodes are computed, in which kernel, and which values are stored.
//!
//! [`merge`] finds nodes that compute the same value; [`groups`] decides what is stored and forms kernels; [`row_fusion`] and [`horizontal`]
//! put kernels together; [`in_place`] lets new values of variables be written over old ones.

mod decisions;
pub mod groups;
pub mod horizontal;
pub mod in_place;
pub mod merge;
mod plain;
pub mod row_fusion;

pub use decisions::Decisions;
