//! Times of kernels, by timestamp queries.
//!
//! Where a time is wanted, each dispatch runs in a pass of its own that writes a timestamp at its begin and end. The
//! GPU's clock has an origin of its own. It is aligned with the CPU's by what must hold: a kernel begins after it was
//! submitted, and ends before it was seen to be done. Each list of dispatches so bounds the offset between the clocks
//! from both sides; bounds are intersected over time, and the middle is taken. Where they contradict (clocks drift),
//! the newest count.
//!
//! A software adapter writes timestamps when it reads its commands, not when their work is done: there each dispatch is a
//! submission of its own that is waited for, and its time is what the CPU's clock says.

use std::time::Duration;

use super::device::Gpu;
use super::encode::Dispatch;
use super::readback::Copy;
use crate::error::{Error, Result};
use crate::trace;

/// Timestamps that a query set holds at most, by WebGPU's limits.
const QUERIES: u32 = 4096;
/// Dispatches in one submission at most while times are taken: each writes two timestamps.
pub(super) const SPLIT: usize = QUERIES as usize / 2;

/// When a kernel ran, in the time of `trace::now`, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Begin, as well as the clocks could be aligned.
    pub start: Duration,
    /// Time on the GPU.
    pub length: Duration,
}

/// The queries of a device and the buffer that they are resolved into.
pub(super) struct Queries {
    pub set: wgpu::QuerySet,
    pub resolved: wgpu::Buffer,
}

/// How far the CPU's clock is ahead of the GPU's, in nanoseconds: bounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The first timestamp seen, from which others are counted.
    origin: Option<u64>,
    bounds: Option<(f64, f64)>,
}

impl Clock {
    /// Takes in that GPU times from `first` to `last` lie between CPU times `submitted` and `done`, all in nanoseconds.
    fn observe(&mut self, first: f64, last: f64, submitted: f64, done: f64) {
        let new = (submitted - first, done - last);
        if new.0 > new.1 {
            // The kernels took longer than the time from their submission to their end: the clocks run at other rates.
            return;
        }
        let both = self.bounds.map_or(new, |old| (old.0.max(new.0), old.1.min(new.1)));
        self.bounds = Some(if both.0 <= both.1 { both } else { new });
    }

    fn offset(&self) -> Option<f64> {
        self.bounds.map(|(low, high)| f64::midpoint(low, high))
    }
}

/// The timestamps of some dispatches under way.
pub(super) struct Chunk {
    pub copy: Copy,
    /// Which dispatches they are of, in order.
    pub dispatches: Vec<usize>,
    pub submitted: Duration,
}

/// The time that a pair of timestamps means, in nanoseconds since `origin`, where it can be true: a kernel does not
/// begin at 0, end before its begin, or take longer than from its submission until it was seen to be done.
fn plausible(begin: u64, end: u64, origin: u64, period: f64, wall: f64) -> Option<(f64, f64)> {
    if begin == 0 || end < begin || !period.is_finite() || period <= 0.0 {
        return None;
    }
    let length = (end - begin) as f64 * period;
    // Clocks may run at slightly different rates.
    let longest = wall * 1.1 + 1e5;
    let start = begin.wrapping_sub(origin).cast_signed() as f64 * period;
    (length <= longest).then_some((start, start + length))
}

impl Gpu {
    /// [`Gpu::run`] that also measures each dispatch, and waits. `None` where the adapter has no timestamps, where one
    /// makes no sense, and for dispatches of no workgroups. Errors of the measurement only cost the times.
    ///
    /// # Errors
    /// As [`Gpu::run`].
    pub fn run_timed(&self, work: &[Dispatch], params: &[u8]) -> Result<Vec<Option<Timing>>> {
        // A browser cannot wait here.
        if !self.caps().timestamps || cfg!(target_arch = "wasm32") {
            self.run(work, params)?;
            return Ok(vec![None; work.len()]);
        }
        match self.caps().policy().has_own_clock {
            true => self.run_queried(work, params),
            false => self.run_waited(work, params),
        }
    }

    /// [`Gpu::run_timed`] by timestamp queries.
    pub(super) fn run_queried(&self, work: &[Dispatch], params: &[u8]) -> Result<Vec<Option<Timing>>> {
        let mut timings = vec![None; work.len()];
        let mut chunks = Vec::new();
        self.run_with(work, params, Some(&mut chunks))?;
        let Some(submitted) = chunks.first().map(|chunk| chunk.submitted.as_nanos() as f64) else { return Ok(timings) };
        let _span = trace::span(self.lane(), "times");
        let mut times = Vec::new();
        for chunk in chunks {
            match self.collect(chunk) {
                Ok(more) => times.extend(more),
                Err(error) => {
                    log::warn!("times of kernels: {error}");
                    self.0.sticky.check()?;
                }
            }
        }
        let Some(first) = times.iter().map(|(_, (begin, _))| *begin).reduce(f64::min) else { return Ok(timings) };
        // Where nothing aligns the clocks, the first kernel is taken to begin with its submission.
        let offset = super::sync::lock(&self.0.clock).offset().unwrap_or(submitted - first);
        for (d, (begin, end)) in times {
            timings[d] = Some(Timing {
                start: Duration::from_nanos((begin + offset).max(0.0) as u64),
                length: Duration::from_nanos((end - begin) as u64),
            });
        }
        Ok(timings)
    }

    /// [`Gpu::run_timed`] by the CPU's clock: one dispatch at a time, from its submission to its end.
    pub(super) fn run_waited(&self, work: &[Dispatch], params: &[u8]) -> Result<Vec<Option<Timing>>> {
        self.0.wait_index(None)?;
        let timed = |dispatch: &Dispatch| {
            let start = trace::now();
            self.run(std::slice::from_ref(dispatch), params)?;
            self.0.wait_index(None)?;
            let length = trace::now().saturating_sub(start);
            Ok((dispatch.workgroups > 0).then_some(Timing { start, length }))
        };
        work.iter().map(timed).collect()
    }

    /// Dispatches with begin and end in nanoseconds of the GPU's clock, where they make sense.
    fn collect(&self, chunk: Chunk) -> Result<Vec<(usize, (f64, f64))>> {
        let mut ticks: Vec<u64> = Vec::new();
        let Chunk { copy, dispatches, submitted } = chunk;
        pollster::block_on(self.finish_copy(copy, |bytes| ticks = bytemuck::pod_collect_to_vec(bytes)))?;
        let done = trace::now();
        let period = f64::from(self.0.queue.get_timestamp_period());
        let mut clock = super::sync::lock(&self.0.clock);
        let origin = *clock.origin.get_or_insert_with(|| ticks.iter().copied().find(|&t| t != 0).unwrap_or(0));
        let wall = done.saturating_sub(submitted).as_nanos() as f64;
        let pairs = ticks.chunks_exact(2).map(|pair| plausible(pair[0], pair[1], origin, period, wall));
        let times: Vec<(usize, (f64, f64))> =
            dispatches.into_iter().zip(pairs).filter_map(|(d, time)| Some((d, time?))).collect();
        let first = times.iter().map(|(_, t)| t.0).fold(f64::INFINITY, f64::min);
        let last = times.iter().map(|(_, t)| t.1).fold(f64::NEG_INFINITY, f64::max);
        if !times.is_empty() {
            clock.observe(first, last, submitted.as_nanos() as f64, done.as_nanos() as f64);
        }
        Ok(times)
    }

    /// The device's query set, made at the first call.
    pub(super) fn queries(&self) -> Result<Queries> {
        let size = u64::from(QUERIES) * 8;
        let resolved = self.create(size, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
        let (set, error) = super::sticky::scoped(&self.0.device, || {
            self.0.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times of kernels"),
                ty: wgpu::QueryType::Timestamp,
                count: QUERIES,
            })
        });
        match error {
            None => Ok(Queries { set, resolved }),
            Some(error) => Err(Error::unsupported("profile", super::sticky::describe(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_that_cannot_be_true_are_dropped() {
        assert_eq!(plausible(1000, 3000, 1000, 0.5, 5e3), Some((0.0, 1000.0)));
        assert_eq!(plausible(900, 1000, 1000, 1.0, 5e3), Some((-100.0, 0.0)));
        for (begin, end, period) in
            [(0, 10, 1.0), (0, 0, 1.0), (10, 0, 1.0), (10, 9, 1.0), (1, 1 << 40, 1.0), (1, 2, 0.0), (1, 2, f64::NAN)]
        {
            assert_eq!(plausible(begin, end, 0, period, 5e3), None, "{begin} {end} {period}");
        }
    }

    #[test]
    fn clocks_are_aligned_by_what_must_hold() {
        let mut clock = Clock::default();
        assert_eq!(clock.offset(), None);
        // The CPU is 1000 ahead; kernels run from 10 to 20, submitted at 1005, seen done at 1035.
        clock.observe(10.0, 20.0, 1005.0, 1035.0);
        assert_eq!(clock.offset(), Some(1005.0));
        clock.observe(110.0, 120.0, 1108.0, 1122.0);
        assert_eq!(clock.offset(), Some(1000.0));
        // Impossible: says nothing.
        clock.observe(0.0, 100.0, 1000.0, 1050.0);
        assert_eq!(clock.offset(), Some(1000.0));
        // A contradiction: the newest bounds count.
        clock.observe(200.0, 210.0, 1300.0, 1320.0);
        assert_eq!(clock.offset(), Some(1105.0));
    }
}
