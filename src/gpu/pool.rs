//! Whole buffers, reused by size class.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use foldhash::HashSet;

use super::device::{Gpu, Inner};
use super::stats::Memory;
use super::sticky::{describe, scoped};
use super::sync::lock;
use crate::caps::{GRAIN, size_class};
use crate::error::{At, Error, Result};

/// Uploads whose buffers are remembered.
const RECENT_UPLOADS: usize = 32;
/// Uploads travel through staging memory that is freed when a submission is done; this much of it may be waiting.
const UPLOAD_CHUNK: usize = 64 << 20;

/// Names one buffer on the device. Stays the same when the pool hands the buffer out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u64);

/// A handle to a device buffer. The last handle's drop gives the buffer back to the pool, from any thread.
#[derive(Clone)]
pub struct Buffer(Arc<Held>);

struct Held {
    /// `None` only inside `drop`.
    raw: Option<wgpu::Buffer>,
    id: BufferId,
    bytes: u64,
    capacity: u64,
    pool: Arc<Pool>,
}

impl Buffer {
    /// Which buffer this is.
    pub fn id(&self) -> BufferId {
        self.0.id
    }

    /// The size that was asked for, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// The size that the buffer has, in bytes: at least [`Buffer::bytes`], and a multiple of 16.
    pub fn capacity(&self) -> u64 {
        self.0.capacity
    }

    /// Whether this is the only handle, so that nobody reads or writes the buffer any more.
    pub fn is_free(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        self.0.raw.as_ref().expect("a live handle holds its buffer; only drop takes it out")
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({}, {} of {} bytes)", self.0.id.0, self.0.bytes, self.0.capacity)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            self.pool.give_back(self.capacity, self.id, raw);
        }
    }
}

/// The free buffers and the books. It holds no handles and no device, so no lock is ever taken inside its own.
#[derive(Default)]
pub(super) struct Pool(Mutex<PoolState>);

#[derive(Default)]
struct PoolState {
    /// Ordered by class, then id: the choice depends on nothing but the history of asks.
    free: BTreeMap<(u64, BufferId), wgpu::Buffer>,
    /// Bytes and buffers of the last uploads, oldest first.
    uploads: VecDeque<(u64, (u64, BufferId))>,
    memory: Memory,
    next_id: u64,
}

impl PoolState {
    fn lend(&mut self, capacity: u64) {
        self.memory.in_use += capacity;
        self.memory.peak = self.memory.peak.max(self.memory.in_use);
    }
}

impl Pool {
    fn take(&self, class: u64, preferred: Option<BufferId>) -> Option<(BufferId, wgpu::Buffer)> {
        let mut state = lock(&self.0);
        let any = (class, BufferId(0))..=(class, BufferId(u64::MAX));
        let key = preferred
            .map(|id| (class, id))
            .filter(|key| state.free.contains_key(key))
            .or_else(|| state.free.range(any).next().map(|(key, _)| *key))?;
        let raw = state.free.remove(&key)?;
        state.memory.pooled -= class;
        state.lend(class);
        Some((key.1, raw))
    }

    /// Counts memory that is no buffer of the pool's.
    pub(super) fn book(&self, bytes: u64) {
        let mut state = lock(&self.0);
        state.memory.allocations += 1;
        state.lend(bytes);
    }

    /// Counts such memory as given back.
    pub(super) fn unbook(&self, bytes: u64) {
        lock(&self.0).memory.in_use -= bytes;
    }

    fn adopt(&self, capacity: u64) -> BufferId {
        let mut state = lock(&self.0);
        state.next_id += 1;
        state.memory.allocations += 1;
        state.lend(capacity);
        BufferId(state.next_id)
    }

    fn give_back(&self, capacity: u64, id: BufferId, raw: wgpu::Buffer) {
        let mut state = lock(&self.0);
        state.memory.in_use -= capacity;
        state.memory.pooled += capacity;
        state.free.insert((capacity, id), raw);
    }

    /// The buffer that an upload of so many bytes should take: of the last ones of this size, the free one that was used least
    /// recently. A loop that uploads its batches anew then has them in the same buffers each step, and its bind groups in the
    /// cache.
    fn last_upload(&self, bytes: u64) -> Option<BufferId> {
        let state = lock(&self.0);
        let recent = state.uploads.iter().filter(|(size, _)| *size == bytes);
        recent.map(|(_, key)| key).find(|key| state.free.contains_key(key)).map(|key| key.1)
    }

    fn note_upload(&self, buffer: &Buffer) {
        let mut state = lock(&self.0);
        state.uploads.retain(|(_, key)| key.1 != buffer.id());
        if state.uploads.len() >= RECENT_UPLOADS {
            state.uploads.pop_front();
        }
        state.uploads.push_back((buffer.bytes(), (buffer.capacity(), buffer.id())));
    }

    /// Takes out one free buffer. The caller drops it outside the lock.
    fn remove(&self, key: (u64, BufferId)) -> Option<wgpu::Buffer> {
        let mut state = lock(&self.0);
        let found = state.free.remove(&key)?;
        state.memory.pooled -= key.0;
        Some(found)
    }

    /// Empties the pool. The caller drops the buffers outside the lock.
    pub(super) fn drain(&self) -> BTreeMap<(u64, BufferId), wgpu::Buffer> {
        let mut state = lock(&self.0);
        state.memory.pooled = 0;
        state.uploads.clear();
        std::mem::take(&mut state.free)
    }

    pub(super) fn memory(&self) -> Memory {
        lock(&self.0).memory
    }

    pub(super) fn reset_peak(&self) {
        let memory = &mut lock(&self.0).memory;
        memory.peak = memory.in_use;
    }
}

impl Gpu {
    /// A buffer of at least `bytes` bytes with arbitrary contents, from the pool where it has one of the size class.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond the device's largest buffer, [`Error::OutOfMemory`] where there is no memory even after
    /// the pool was emptied, and the device's lasting error.
    pub fn alloc(&self, bytes: u64) -> Result<Buffer> {
        self.alloc_preferring(bytes, None)
    }

    /// Like [`Gpu::alloc`], but takes the buffer `preferred` where that one is free and of the right class. A plan that
    /// gets the buffers of its last run finds its bind groups in the cache.
    ///
    /// # Errors
    /// As [`Gpu::alloc`].
    pub fn alloc_preferring(&self, bytes: u64, preferred: Option<BufferId>) -> Result<Buffer> {
        self.alloc_as(bytes, size_class, preferred)
    }

    /// Like [`Gpu::alloc`], but not rounded up to a size class: for what is kept for long.
    ///
    /// # Errors
    /// As [`Gpu::alloc`].
    pub fn alloc_exact(&self, bytes: u64) -> Result<Buffer> {
        self.alloc_as(bytes, |bytes| bytes.max(1).next_multiple_of(GRAIN), None)
    }

    fn alloc_as(&self, bytes: u64, class: fn(u64) -> u64, preferred: Option<BufferId>) -> Result<Buffer> {
        let inner = &*self.0;
        inner.sticky.check()?;
        let limit = inner.caps.max_buffer;
        if bytes > limit || bytes.next_multiple_of(GRAIN) > limit {
            return Err(Error::TooLarge { op: "alloc".into(), bytes, limit, at: At(None) });
        }
        // The class of an ask near the limit may lie past it.
        let class = class(bytes).min(limit / GRAIN * GRAIN);
        let (id, raw) = match inner.pool.take(class, preferred) {
            Some(found) => found,
            None => {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
                let raw = match self.create(class, usage) {
                    Err(Error::OutOfMemory { .. }) => {
                        self.trim();
                        self.wait_idle();
                        self.create(class, usage)?
                    }
                    other => other?,
                };
                (inner.pool.adopt(class), raw)
            }
        };
        Ok(Buffer(Arc::new(Held { raw: Some(raw), id, bytes, capacity: class, pool: Arc::clone(&inner.pool) })))
    }

    /// Creates a wgpu buffer, or says why not.
    pub(super) fn create(&self, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let inner = &*self.0;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let (raw, error) = scoped(&inner.device, || inner.device.create_buffer(&descriptor));
        match error {
            None => Ok(raw),
            Some(error) => Err(inner.raised("alloc", size, &error)),
        }
    }

    /// A new buffer with these contents.
    ///
    /// # Errors
    /// As [`Gpu::alloc`].
    pub fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        let size = bytes.len() as u64;
        let buffer = self.alloc_preferring(size, self.0.pool.last_upload(size))?;
        self.0.pool.note_upload(&buffer);
        self.write(&buffer, 0, bytes)?;
        Ok(buffer)
    }

    /// Overwrites part of a buffer, in the order of the queue. `offset` must be a multiple of 4; where the length is not,
    /// the rest of the last 4 bytes becomes zero.
    ///
    /// # Errors
    /// [`Error::Argument`] where the range does not fit, [`Error::OutOfMemory`] where there is no staging memory.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let inner = &*self.0;
        inner.sticky.check()?;
        let fits = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= buffer.capacity());
        if !fits || !offset.is_multiple_of(4) {
            let detail =
                format!("{} bytes at offset {offset} do not fit a buffer of {} bytes", bytes.len(), buffer.capacity());
            return Err(Error::internal("write", detail));
        }
        let mut at = offset;
        for chunk in bytes.chunks(UPLOAD_CHUNK) {
            let mut write = inner.write_chunk(buffer, at, chunk);
            if let Err(Error::OutOfMemory { .. }) = write {
                self.trim();
                self.wait_idle();
                write = inner.write_chunk(buffer, at, chunk);
            }
            write?;
            at += chunk.len() as u64;
            if inner.note_upload(chunk.len()) >= UPLOAD_CHUNK {
                self.flush_uploads()?;
            }
        }
        Ok(())
    }

    /// Gives the memory of all free buffers back to the system.
    pub fn trim(&self) {
        let inner = &*self.0;
        let freed = inner.pool.drain();
        inner.forget_groups(freed.keys().map(|(_, id)| *id).collect());
        self.drop_panels();
        lock(&inner.staging).clear();
        drop(freed);
        inner.poll_once();
    }

    /// Gives a buffer's memory back to the system, where this is the last handle to it; else the pool gets it later.
    pub fn free(&self, buffer: Buffer) {
        let key = (buffer.capacity(), buffer.id());
        drop(buffer);
        let freed = self.0.pool.remove(key);
        if freed.is_some() {
            self.0.forget_groups(HashSet::from_iter([key.1]));
        }
    }
}

impl Inner {
    /// Drops the bind groups that keep buffers alive which are given up.
    fn forget_groups(&self, ids: HashSet<BufferId>) {
        let mut stream = lock(&self.stream);
        stream.groups.forget(&ids);
        stream.sets.forget(&ids);
    }

    fn write_chunk(&self, buffer: &Buffer, at: u64, chunk: &[u8]) -> Result<()> {
        // wgpu copies whole words only. `at` is one because chunks are.
        let (whole, tail) = chunk.split_at(chunk.len() / 4 * 4);
        let ((), error) = scoped(&self.device, || {
            if !whole.is_empty() {
                self.queue.write_buffer(buffer.raw(), at, whole);
            }
            if !tail.is_empty() {
                let mut word = [0; 4];
                word[..tail.len()].copy_from_slice(tail);
                self.queue.write_buffer(buffer.raw(), at + whole.len() as u64, &word);
            }
        });
        error.map_or(Ok(()), |error| Err(self.raised("write", chunk.len() as u64, &error)))
    }

    /// This crate's error for one that wgpu raised.
    pub(super) fn raised(&self, op: &str, asked: u64, error: &wgpu::Error) -> Error {
        if let Err(lasting) = self.sticky.check() {
            return lasting;
        }
        match error {
            wgpu::Error::OutOfMemory { .. } => {
                let memory = self.pool.memory();
                let (in_use, pooled) = (memory.in_use, memory.pooled);
                Error::OutOfMemory { op: op.into(), shape: None, asked, in_use, pooled, at: At(None) }
            }
            other => Error::unsupported(op, describe(other)),
        }
    }
}
