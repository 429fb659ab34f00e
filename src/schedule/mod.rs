//! From pending nodes to a plan: what is computed in one kernel, in which order, and in which memory.
//!
//! [`snapshot`] lists and hashes the pending graph; [`fuse`] decides what is stored and forms groups; [`memory`] gives every
//! stored value a place; [`plan`] puts it together with the kernels that `codegen` prints. [`picture`] draws plans.

pub mod fuse;
pub mod gate;
pub mod group;
mod horizontal;
pub mod in_place;
pub mod memory;
pub mod picture;
pub mod plan;
mod reason;
mod recompute;
mod row_fusion;
mod share;
pub mod snapshot;

pub use plan::{BufferRef, Cluster, ParamSource, Plan, PlanSummary, Step};
pub use reason::{EndReason, StoreReason};
pub use snapshot::Snapshot;
