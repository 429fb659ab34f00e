//! Everything that knows wgpu: adapters, buffers, pipelines, command encoding and readback.
//!
//! This floor knows nothing of tensors or graphs. It runs lists of [`Dispatch`]es on whole [`Buffer`]s and reports every
//! failure as an `Err`. All work goes through one queue in the order of submission, which is why a pooled buffer can be
//! handed out again while the GPU still reads it: what writes to it next comes later in the queue.
//!
//! Kernel convention: entry point `main`; `@group(0) @binding(0)` is the uniform block of parameters (where the kernel has
//! one); `@binding(1..=n)` are the storage buffers; `@binding(n + 1)` is the device's block of index errors where the
//! kernel checks indices; then come the panels, textures that the device has. Workgroups beyond the limit of one dimension are folded into `y`, so a kernel's linear workgroup number
//! is `wid.y * num_workgroups.x + wid.x`, and it must guard against numbers past its own count.

mod bindings;
mod device;
mod encode;
#[cfg(not(target_arch = "wasm32"))]
mod exit;
mod pace;
mod panels;
mod pipeline;
mod pool;
mod profile;
mod readback;
mod recent;
mod replay;
mod stats;
mod sticky;
mod sync;
#[cfg(test)]
mod tests;

pub use device::{AdapterInfo, FAULT_SLOTS, Gpu, Select};
pub use encode::{BufferSlice, Dispatch};
pub use pipeline::{Binding, KernelSource, Pipeline};
pub use pool::{Buffer, BufferId};
pub use profile::Timing;
pub use readback::IndexFault;
pub use replay::{BoundBuffer, Call, Program};
pub use stats::{Memory, Stats};
