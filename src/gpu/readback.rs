//! Waiting for the device and reading from it.

use std::ops::Range;

use super::device::{Gpu, Inner, SLOT_BYTES};
#[cfg(not(target_arch = "wasm32"))]
use super::pace::{SHORTEST, Submission};
use super::pool::Buffer;
use super::sticky::scoped;
use super::sync::{lock, oneshot};
use crate::caps::size_class;
use crate::error::{Error, Result};
use crate::{host, trace};

/// Bytes that one copy brings over. Longer reads take several, so that staging memory stays bounded.
const READ_CHUNK: u64 = 64 << 20;
/// Staging buffers kept for the next read.
const STAGING_KEPT: usize = 8;
/// Submissions that may be waiting for the device.
#[cfg(not(target_arch = "wasm32"))]
const IN_FLIGHT: usize = 64;
/// A submission of this age is looked after, whether it is done.
#[cfg(not(target_arch = "wasm32"))]
const OLD: std::time::Duration = std::time::Duration::from_millis(20);
/// A device that finishes no submission for this long counts as lost. Drivers of GPUs give up far earlier; a software
/// adapter on a busy machine may need minutes for one submission.
#[cfg(not(target_arch = "wasm32"))]
const STALL: std::time::Duration = std::time::Duration::from_secs(300);

/// An index from data that lay outside its dimension, as a slot of the block of index errors holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFault {
    /// The tag that the kernel's parameters gave: which op it was.
    pub tag: u32,
    /// The index.
    pub index: i32,
    /// The size of the dimension.
    pub bound: u32,
}

impl IndexFault {
    /// The faults in slots of flag, tag, index and bound.
    fn parse(bytes: &[u8]) -> Vec<IndexFault> {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let fault = |slot: &[u32]| match *slot {
            [flag, tag, index, bound] if flag != 0 => Some(IndexFault { tag, index: index.cast_signed(), bound }),
            _ => None,
        };
        words.chunks(4).filter_map(fault).collect()
    }
}

/// A copy under way.
pub(super) struct Copy {
    pub staging: wgpu::Buffer,
    /// Bytes of data at the start of the staging buffer, and of slots of index errors after them.
    pub len: u64,
    pub faults: u64,
    pub index: wgpu::SubmissionIndex,
}

impl Gpu {
    /// Reads part of a buffer, after all work submitted so far, and with it the index faults in `slots`, which stay there
    /// until they are cleared. On native systems this polls the device inside, so that any executor will do.
    ///
    /// # Errors
    /// [`Error::Argument`] where the range does not fit, [`Error::OutOfMemory`], and [`Error::DeviceLost`] where the device
    /// is gone or does not come to an end.
    pub async fn read(
        &self,
        buffer: &Buffer,
        offset: u64,
        len: u64,
        slots: Range<u32>,
    ) -> Result<(Vec<u8>, Vec<IndexFault>)> {
        let _span = trace::span(self.0.lane, "read");
        self.0.sticky.check()?;
        if offset.checked_add(len).is_none_or(|end| end > buffer.capacity()) {
            let detail = format!("{len} bytes at offset {offset} of a buffer of {} bytes", buffer.capacity());
            return Err(Error::internal("read", detail));
        }
        host::room_for("read", None, len)?;
        let mut data = Vec::with_capacity(len as usize);
        let end = offset + len;
        let mut at = offset;
        loop {
            // Copies start and end at whole words.
            let start = at / 4 * 4;
            let stop = end.min(start + READ_CHUNK);
            // One copy brings the faults, be it which it may: all come after the work in question.
            let slots = if stop >= end { slots.clone() } else { 0..0 };
            let copy = self.begin_copy(Some((buffer, start, (stop - start).next_multiple_of(4))), slots)?;
            let skip = (at - start) as usize;
            let found =
                self.finish_copy(copy, |bytes| data.extend_from_slice(&bytes[skip..(stop - start) as usize])).await?;
            at = stop;
            if at >= end {
                return Ok((data, found));
            }
        }
    }

    /// Waits until all work submitted so far is done, and returns the index faults in `slots`.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] where the device is gone or does not come to an end.
    pub async fn wait(&self, slots: Range<u32>) -> Result<Vec<IndexFault>> {
        let _span = trace::span(self.0.lane, "wait");
        let inner = &*self.0;
        inner.sticky.check()?;
        if !slots.is_empty() {
            let copy = self.begin_copy(None, slots)?;
            return self.finish_copy(copy, |_| ()).await;
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            let index = (inner.uploaded.load(std::sync::atomic::Ordering::Relaxed) > 0).then(|| {
                let _stream = lock(&inner.stream);
                scoped(&inner.device, || inner.submit(None, 0)).0
            });
            inner.wait_index(index)?;
        }
        #[cfg(target_arch = "wasm32")]
        {
            let (sender, receiver) = oneshot();
            inner.queue.on_submitted_work_done(move || sender.send(()));
            receiver.await;
        }
        inner.sticky.check()?;
        Ok(Vec::new())
    }

    /// Waits for the device as well as can be without an answer, so that freed memory is really free.
    pub(super) fn wait_idle(&self) {
        // The caller goes on either way; a lost device shows in its next call.
        let _ = self.0.wait_index(None);
    }

    fn begin_copy(&self, source: Option<(&Buffer, u64, u64)>, slots: Range<u32>) -> Result<Copy> {
        let inner = &*self.0;
        let len = source.map_or(0, |(_, _, len)| len);
        let faults = slots.len() as u64 * SLOT_BYTES;
        let staging = match self.staging(len + faults) {
            Err(Error::OutOfMemory { .. }) => {
                self.trim();
                self.wait_idle();
                self.staging(len + faults)?
            }
            other => other?,
        };
        let stream = lock(&inner.stream);
        let (index, error) = scoped(&inner.device, || {
            let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            if let Some((buffer, start, len)) = source.filter(|(_, _, len)| *len > 0) {
                encoder.copy_buffer_to_buffer(buffer.raw(), start, &staging, 0, Some(len));
            }
            if faults > 0 {
                let first = u64::from(slots.start) * SLOT_BYTES;
                encoder.copy_buffer_to_buffer(&inner.faults, first, &staging, len, Some(faults));
            }
            inner.submit(Some(encoder.finish()), 0)
        });
        if let Some(error) = error {
            return Err(inner.raised("read", len, &error));
        }
        drop(stream);
        Ok(Copy { staging, len, faults, index })
    }

    pub(super) async fn finish_copy(&self, copy: Copy, take: impl FnOnce(&[u8])) -> Result<Vec<IndexFault>> {
        let inner = &*self.0;
        let Copy { staging, len, faults, index } = copy;
        let total = len + faults;
        if total == 0 {
            inner.wait_index(Some(index))?;
            take(&[]);
            return Ok(Vec::new());
        }
        let (sender, receiver) = oneshot();
        let ((), error) = scoped(&inner.device, || {
            staging.slice(..total).map_async(wgpu::MapMode::Read, move |outcome| sender.send(outcome));
        });
        if let Some(error) = error {
            return Err(inner.raised("read", len, &error));
        }
        inner.wait_index(Some(index))?;
        #[cfg(not(target_arch = "wasm32"))]
        let mapped = receiver.wait(std::time::Duration::from_secs(30)).unwrap_or(Err(wgpu::BufferAsyncError));
        #[cfg(target_arch = "wasm32")]
        let mapped = receiver.await;
        inner.sticky.check()?;
        mapped.map_err(|error| Error::DeviceLost(format!("reading a buffer: {error}")))?;
        let view = staging.slice(..total).get_mapped_range();
        let view = view.map_err(|error| Error::DeviceLost(format!("reading a buffer: {error}")))?;
        let (data, slots) = view.split_at(len as usize);
        take(data);
        let found = IndexFault::parse(slots);
        drop(view);
        staging.unmap();
        let mut kept = lock(&inner.staging);
        if kept.len() < STAGING_KEPT {
            kept.push(staging);
        }
        Ok(found)
    }

    /// A staging buffer: the smallest kept one that is large enough but not far too large, or a new one.
    pub(super) fn staging(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let size = size_class(bytes.max(4096));
        let mut kept = lock(&self.0.staging);
        let fitting = kept.iter().enumerate().filter(|(_, b)| (size..=size * 16).contains(&b.size()));
        if let Some((i, _)) = fitting.min_by_key(|(_, b)| b.size()) {
            return Ok(kept.swap_remove(i));
        }
        drop(kept);
        self.create(size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }
}

#[cfg(target_arch = "wasm32")]
impl Inner {
    pub(super) fn poll_once(&self) {}
    pub(super) fn limit_in_flight(&self) -> Result<()> {
        Ok(())
    }
    pub(super) fn wait_index(&self, _index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Inner {
    /// Lets wgpu free what finished submissions held.
    pub(super) fn poll_once(&self) {
        // A lost device shows through the callback.
        let _ = self.poll(wgpu::PollType::Poll);
    }

    /// Waits until the device has nothing to do, or for ten seconds.
    pub(super) fn finish(&self) {
        let timeout = Some(std::time::Duration::from_secs(10));
        // What went wrong can no longer be told to anyone.
        let _ = self.poll(wgpu::PollType::Wait { submission_index: None, timeout });
    }

    /// Polls. wgpu panics where the driver reports a device error; that becomes the lasting error instead.
    fn poll(&self, kind: wgpu::PollType) -> Result<Result<wgpu::PollStatus, wgpu::PollError>> {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.device.poll(kind)));
        polled.or_else(|panic| {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "the driver failed".into());
            self.sticky.set(Error::DeviceLost(why));
            self.sticky.check().map(|()| Err(wgpu::PollError::Timeout))
        })
    }

    /// Waits for a submission, or for the last one. Gives up where nothing at all was finished for a long time.
    pub(super) fn wait_index(&self, index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let start = std::time::Instant::now();
        let mut progress = start;
        loop {
            self.sticky.check()?;
            let slice = Some(std::time::Duration::from_secs(5));
            match self.poll(wgpu::PollType::Wait { submission_index: index.clone(), timeout: slice })? {
                Ok(_) if start.elapsed() < SHORTEST => return Ok(()),
                // The device has just become done with what was waited for.
                Ok(_) => return self.measure(),
                Err(wgpu::PollError::Timeout) => {}
                Err(error @ wgpu::PollError::WrongSubmissionIndex(..)) => {
                    self.sticky.check()?;
                    return Err(Error::unsupported("wait", format!("a submission failed: {error}")));
                }
            }
            if !self.retire()?.is_empty() {
                progress = std::time::Instant::now();
            } else if progress.elapsed() > STALL {
                let error = Error::DeviceLost(format!("no work was finished for {} s", STALL.as_secs()));
                self.sticky.set(error.clone());
                return Err(error);
            }
        }
    }

    /// Learns the device's rate from the submissions that have ended now.
    fn measure(&self) -> Result<()> {
        let done = self.retire()?;
        if let Some(oldest) = done.first() {
            let work = done.iter().map(|submission| submission.work).fold(0, u64::saturating_add);
            lock(&self.pace).measured(work, oldest.at.elapsed());
        }
        Ok(())
    }

    /// Forgets submissions that are done, and gives them, oldest first.
    pub(super) fn retire(&self) -> Result<Vec<Submission>> {
        let _ = self.poll(wgpu::PollType::Poll)?;
        let ended = self.ended.load(std::sync::atomic::Ordering::Acquire);
        let mut in_flight = lock(&self.in_flight);
        let count = in_flight.iter().take_while(|submission| submission.number <= ended).count();
        let done = in_flight.drain(..count).collect();
        Ok(done)
    }

    /// Waits where too many submissions are unfinished: what they hold is freed only when they are done.
    pub(super) fn limit_in_flight(&self) -> Result<()> {
        let (len, half, is_old) = {
            let waiting = lock(&self.in_flight);
            let is_old = waiting.front().is_some_and(|oldest| oldest.at.elapsed() > OLD);
            (waiting.len(), waiting.get(IN_FLIGHT / 2).map(|submission| submission.index.clone()), is_old)
        };
        // What ended long ago would make the next measurement too slow.
        if is_old || len >= IN_FLIGHT {
            self.retire()?;
        }
        match half {
            Some(index) if lock(&self.in_flight).len() >= IN_FLIGHT => {
                self.wait_index(Some(index))?;
                self.retire().map(drop)
            }
            _ => Ok(()),
        }
    }
}
