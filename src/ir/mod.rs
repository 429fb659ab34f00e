//! The forms that a computation takes between the graph of nodes and the kernels.
//!
//! | phase | type | adds |
//! |---|---|---|
//! | the pending nodes are listed | [`Snapshot`] | positions, what is kept, gates, the structural hash |
//! | equal nodes become one (`fuse::merge`) | [`Merged`] | representatives, and what is needed |
//! | kernels are formed (`fuse::groups`) | [`Group`](group::Group) | what each kernel computes and stores |
//! | kernels are printed (`codegen`) | `codegen::Calls` | WGSL, bindings, parameters |
//! | memory is assigned (`plan`) | `plan::Plan` | dispatches, buffers, offsets |
//!
//! Each phase reads the type before it and changes nothing in it.

mod dag;
pub mod gate;
pub mod group;
pub mod hash;
mod merged;
mod reason;
mod replacement;
mod snapshot;

pub use dag::{Dag, Keep, Source};
pub use merged::Merged;
pub use reason::{EndReason, StoreReason};
pub use replacement::Replacement;
pub use snapshot::Snapshot;
