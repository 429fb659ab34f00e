//! Buffers for values that do not outlive a flush.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu};

/// The workspace of a device. One queue runs all flushes in order, so all plans share it: the first buffer here serves the first
/// place of each plan, its largest, and so on. The buffers stay the same until a plan needs larger or more ones.
#[derive(Default)]
pub struct Workspace(Vec<Buffer>);

impl Workspace {
    /// Sees to it that there is a buffer for each of `places`, which plans sort by size, so that they share well.
    ///
    /// # Errors
    /// As [`Gpu::alloc`].
    pub fn reserve(&mut self, gpu: &Gpu, places: &[u64]) -> Result<()> {
        for (k, &bytes) in places.iter().enumerate() {
            match self.0.get(k) {
                Some(buffer) if buffer.bytes() >= bytes => {}
                Some(_) => gpu.free(std::mem::replace(&mut self.0[k], gpu.alloc_exact(bytes)?)),
                None => self.0.push(gpu.alloc_exact(bytes)?),
            }
        }
        Ok(())
    }

    /// The buffer of a place that is reserved.
    pub fn get(&self, place: usize) -> &Buffer {
        &self.0[place]
    }

    /// Gives everything up.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
