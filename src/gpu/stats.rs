//! Counters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the device was opened.
///
/// ```
/// use wgrad::{Device, Stats, Tensor};
/// let device = Device::gpu()?;
/// let x = Tensor::ones([4], &device);
/// let before: Stats = device.stats();
/// (x + 1.0).realize()?;
/// assert!(device.stats().plans_built > before.plans_built);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Submissions to the queue, those for copies and uploads included.
    pub submits: u64,
    /// Compute dispatches.
    pub dispatches: u64,
    /// Pipelines compiled.
    pub kernels_compiled: u64,
    /// Bind groups created.
    pub bind_groups: u64,
    /// Plans made from scratch.
    pub plans_built: u64,
    /// Plans found in the cache.
    pub plans_reused: u64,
}

/// Device memory held for tensors.
///
/// ```
/// use wgrad::{Device, Memory, Tensor};
/// let device = Device::gpu()?;
/// let x = Tensor::ones([256], &device).contiguous();
/// x.realize()?;
/// let Memory { in_use, peak, .. } = device.memory();
/// assert!(in_use >= 1024 && peak >= in_use);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the buffers that are in use, as allocated.
    pub in_use: u64,
    /// Bytes of free buffers that are kept for reuse.
    pub pooled: u64,
    /// The most that `in_use` has been since the device was opened, or since the last reset.
    pub peak: u64,
    /// Buffers created so far; reuse does not count.
    pub allocations: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub submits: AtomicU64,
    pub dispatches: AtomicU64,
    pub kernels_compiled: AtomicU64,
    pub bind_groups: AtomicU64,
    pub plans_built: AtomicU64,
    pub plans_reused: AtomicU64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> Stats {
        Stats {
            submits: self.submits.load(Relaxed),
            dispatches: self.dispatches.load(Relaxed),
            kernels_compiled: self.kernels_compiled.load(Relaxed),
            bind_groups: self.bind_groups.load(Relaxed),
            plans_built: self.plans_built.load(Relaxed),
            plans_reused: self.plans_reused.load(Relaxed),
        }
    }

    pub(super) fn reset(&self) {
        let Counters { submits, dispatches, kernels_compiled, bind_groups, plans_built, plans_reused } = self;
        for counter in [submits, dispatches, kernels_compiled, bind_groups, plans_built, plans_reused] {
            counter.store(0, Relaxed);
        }
    }

    pub(super) fn bump(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Relaxed);
    }
}
