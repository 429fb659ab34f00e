//! Devices: where graphs run.
//!
//! A [`Device`] is a GPU adapter, the CPU reference, or the null device that only plans (for tests of the planner).

mod cpu;
mod device;
mod faults;
mod gpu;
pub mod null;
mod validate;

pub use crate::gpu::{Memory, Stats};
pub use device::{Device, DeviceInfo};
