//! Devices: where graphs run.
//!
//! A [`Device`] is a GPU adapter, the CPU reference, or the null device that only plans (for tests of the planner).

mod anomaly;
pub(crate) mod certify;
mod cpu;
mod device;
mod explain;
pub mod faults;
mod gpu;
mod null;
pub mod program;
pub mod recipe;
mod validate;

pub use crate::gpu::{Memory, Stats};
pub use device::{Device, DeviceInfo, RngState};
pub use explain::{Explanation, KernelReport, KernelTotals, StoredValue};
pub(crate) use validate::from_bytes;

use crate::graph::Var;
use crate::shape::Shape;

/// The shape that an index-checking op indexes, for error texts: what a scatter writes to, else the first input.
fn indexed(var: &Var, first_input: Option<Shape>) -> Option<Shape> {
    if var.0.op.name().starts_with("scatter") { Some(var.meta().shape.clone()) } else { first_input }
}
