//! From a list of dispatches to submissions.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use super::bindings::{BindGroups, Key};
use super::device::{FAULT_BYTES, Gpu, Inner, SLOT_BYTES};
#[cfg(not(target_arch = "wasm32"))]
use super::pace::Submission;
use super::panels::Panel;
use super::pipeline::Pipeline;
use super::pool::Buffer;
use super::profile::{self, Chunk as Timed, Queries};
use super::readback::Copy;
use super::replay::Sets;
use super::stats::Counters;
use super::sticky::scoped;
use super::sync::lock;
use crate::caps::PANELS;
use crate::error::{At, Error, Result};
use crate::trace;

/// Dispatches in one submission at most.
pub(super) const SPLIT_DISPATCHES: usize = 4096;
/// The arena's first size, in bytes.
const ARENA: u64 = 256 << 10;

/// A part of a buffer, bound to a kernel.
#[derive(Clone, Debug)]
pub struct BufferSlice {
    /// The buffer.
    pub buffer: Buffer,
    /// Where the part starts, in bytes: a multiple of 256.
    pub offset: u64,
    /// How long it is, in bytes; rounded up to a multiple of 4.
    pub size: u64,
}

impl BufferSlice {
    /// The whole buffer, rounded up to 16 bytes so that its last elements can be read as a vector of four.
    pub fn whole(buffer: &Buffer) -> BufferSlice {
        BufferSlice { buffer: buffer.clone(), offset: 0, size: buffer.bytes().max(1).next_multiple_of(16) }
    }
}

/// One kernel run.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The kernel.
    pub pipeline: Arc<Pipeline>,
    /// Its storage buffers, in the order of [`Pipeline::bindings`].
    pub buffers: SmallVec<[BufferSlice; 8]>,
    /// Where its parameters start in the bytes given to [`Gpu::run`]: a multiple of [`Gpu::params_align`].
    pub params_offset: u32,
    /// Workgroups; 0 runs nothing. [`fold`] says how they are laid out.
    pub workgroups: u64,
    /// An estimate of the bytes that it moves, or of the arithmetic that takes as long: long lists are split by the sum.
    pub work: u64,
}

/// Lays workgroups out in two dimensions: `x` is their number up to `max`, `y` as many rows as that takes. The last row may
/// be partly idle. `None` where two dimensions are not enough.
pub fn fold(workgroups: u64, max: u32) -> Option<(u32, u32)> {
    let x = workgroups.min(u64::from(max)).max(1);
    let y = workgroups.div_ceil(x);
    Some((u32::try_from(x).ok()?, u32::try_from(y).ok().filter(|y| *y <= max)?))
}

/// The state that submissions share. Its lock is held from the write of the parameters to the last submission that reads
/// them.
#[derive(Default)]
pub(super) struct Stream {
    pub groups: BindGroups,
    /// Bind groups of programs.
    pub sets: Sets,
    arena: Option<wgpu::Buffer>,
    pub generation: u32,
    /// What the arena holds, from its start.
    contents: Vec<u8>,
    /// Made when times are wanted for the first time.
    pub queries: Option<Queries>,
    pub panels: [Option<Panel>; PANELS],
}

impl Stream {
    /// Drops all bind groups, and what is known of the arena: after a failed run they may be invalid.
    pub fn forget_bindings(&mut self) {
        self.forget_groups();
        self.contents.clear();
    }

    /// Drops all bind groups.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
        self.sets.clear();
    }
}

/// How many dispatches of the given work go into one submission, at most `longest` and of at most `limit` work together; and their work.
pub(super) fn chunk_len(longest: usize, limit: u64, work: impl Iterator<Item = u64>) -> (usize, u64) {
    let (mut len, mut sum) = (0, 0_u64);
    for work in work.take(longest) {
        let all = sum.saturating_add(work);
        if len > 0 && all > limit {
            break;
        }
        (len, sum) = (len + 1, all);
    }
    (len, sum)
}

/// A compute pass that is being recorded.
pub(super) struct Pass<'p> {
    raw: wgpu::ComputePass<'p>,
    current: Option<*const Pipeline>,
    dispatches: u64,
}

impl Pass<'_> {
    /// Records one kernel run.
    pub(super) fn dispatch(
        &mut self,
        pipeline: &Arc<Pipeline>,
        group: &wgpu::BindGroup,
        params_offset: u32,
        (x, y): (u32, u32),
    ) {
        let this = Arc::as_ptr(pipeline);
        if self.current != Some(this) {
            self.raw.set_pipeline(&pipeline.raw);
            self.current = Some(this);
        }
        let offset = [params_offset];
        let offsets: &[u32] = if pipeline.params_bytes() > 0 { &offset } else { &[] };
        self.raw.set_bind_group(0, group, offsets);
        self.raw.dispatch_workgroups(x, y, 1);
        self.dispatches += 1;
    }
}

/// What one chunk of the work amounts to.
struct Chunk<'a> {
    work: &'a [Dispatch],
    grids: &'a [(u32, u32)],
    /// Position of its first dispatch in the whole list.
    first: usize,
    /// The work of all its dispatches.
    weight: u64,
}

impl Gpu {
    /// Runs the dispatches in order. `params` holds the parameters of all of them. One encoder, one pass and one submission,
    /// more where the list is very long.
    ///
    /// # Errors
    /// Where a dispatch does not fit its kernel or the device, where there is no memory, and the device's lasting error.
    /// After an error the contents of the written buffers are not defined.
    pub fn run(&self, work: &[Dispatch], params: &[u8]) -> Result<()> {
        self.run_with(work, params, None)
    }

    /// [`Gpu::run`]; where `times` are wanted, with a pass for each dispatch, and the copies that bring the timestamps.
    pub(super) fn run_with(&self, work: &[Dispatch], params: &[u8], mut times: Option<&mut Vec<Timed>>) -> Result<()> {
        let inner = &*self.0;
        inner.sticky.check()?;
        #[cfg(not(target_arch = "wasm32"))]
        self.note_thread();
        let grids = work.iter().map(|d| inner.check(d, params.len())).collect::<Result<Vec<_>>>()?;
        let mut stream = lock(&inner.stream);
        inner.reserve_arena(self, &mut stream, params.len() as u64 + 256)?;
        if times.is_some() && stream.queries.is_none() {
            match self.queries() {
                Ok(queries) => stream.queries = Some(queries),
                Err(error) => {
                    log::warn!("times of kernels: {error}");
                    times = None;
                }
            }
        }
        let (outcome, error) = scoped(&inner.device, || self.submit_all(&mut stream, work, &grids, params, times));
        if let Some(error) = error {
            stream.forget_bindings();
            return Err(inner.raised("run", 0, &error));
        }
        outcome
    }

    fn submit_all(
        &self,
        stream: &mut Stream,
        work: &[Dispatch],
        grids: &[(u32, u32)],
        params: &[u8],
        mut times: Option<&mut Vec<Timed>>,
    ) -> Result<()> {
        let inner = &*self.0;
        inner.write_params(stream, params);
        let longest = if times.is_some() { profile::SPLIT } else { SPLIT_DISPATCHES };
        let mut start = 0;
        while start < work.len() {
            let limit = lock(&inner.pace).limit();
            let (len, weight) = chunk_len(longest, limit, work[start..].iter().map(|d| d.work));
            let range = start..start + len;
            let chunk = Chunk { work: &work[range.clone()], grids: &grids[range], first: start, weight };
            match (&mut times, stream.queries.take()) {
                (Some(times), Some(queries)) => {
                    let staging = self.staging(2 * 8 * len as u64)?;
                    times.extend(inner.submit_timed(stream, &chunk, &queries, staging));
                    stream.queries = Some(queries);
                }
                (_, queries) => {
                    stream.queries = queries;
                    inner.submit_chunk(stream, &chunk);
                }
            }
            inner.limit_in_flight()?;
            start += len;
        }
        Ok(())
    }

    /// New buffers with the contents that others have after all work submitted so far.
    ///
    /// # Errors
    /// As [`Gpu::alloc`].
    pub fn duplicates(&self, buffers: &[&Buffer]) -> Result<Vec<Buffer>> {
        if buffers.is_empty() {
            return Ok(Vec::new());
        }
        let copies = buffers.iter().map(|buffer| self.alloc(buffer.bytes())).collect::<Result<Vec<_>>>()?;
        let inner = &*self.0;
        let _stream = lock(&inner.stream);
        let ((), error) = scoped(&inner.device, || {
            let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            for (from, to) in buffers.iter().zip(&copies) {
                let len = from.bytes().next_multiple_of(4);
                encoder.copy_buffer_to_buffer(from.raw(), 0, to.raw(), 0, Some(len));
            }
            inner.submit(Some(encoder.finish()), 0);
        });
        error.map_or(Ok(copies), |error| Err(inner.raised("copy", 0, &error)))
    }

    /// Clears slots of the block of index errors, after all work submitted so far.
    ///
    /// # Errors
    /// Where there is no memory, and the device's lasting error.
    pub fn clear_faults(&self, slots: &[u32]) -> Result<()> {
        let inner = &*self.0;
        inner.sticky.check()?;
        let _stream = lock(&inner.stream);
        let ((), error) = scoped(&inner.device, || {
            let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            for slot in slots {
                encoder.clear_buffer(&inner.faults, u64::from(*slot) * SLOT_BYTES, Some(SLOT_BYTES));
            }
            inner.submit(Some(encoder.finish()), 0);
        });
        error.map_or(Ok(()), |error| Err(inner.raised("index errors", 0, &error)))
    }

    /// Submits what was written to the queue, and waits for it, so that staging memory stays bounded.
    pub(super) fn flush_uploads(&self) -> Result<()> {
        let inner = &*self.0;
        let (index, error) = {
            let _stream = lock(&inner.stream);
            scoped(&inner.device, || inner.submit(None, 0))
        };
        if let Some(error) = error {
            return Err(inner.raised("write", 0, &error));
        }
        inner.wait_index(Some(index))
    }
}

impl Inner {
    /// The grid of a dispatch, if it fits its kernel and the device.
    fn check(&self, dispatch: &Dispatch, params_len: usize) -> Result<(u32, u32)> {
        let parts = dispatch.buffers.iter().map(|slice| (slice.offset, slice.size, slice.buffer.capacity()));
        let params = (dispatch.params_offset, params_len);
        self.check_parts(&dispatch.pipeline, parts, params, dispatch.workgroups)
    }

    /// The grid of a kernel on parts of buffers (offset, size, size of the buffer), if they fit it and the device. `params` is
    /// the offset of its parameters and the size of all.
    pub(super) fn check_parts(
        &self,
        pipeline: &Pipeline,
        parts: impl ExactSizeIterator<Item = (u64, u64, u64)>,
        (offset, params_len): (u32, usize),
        workgroups: u64,
    ) -> Result<(u32, u32)> {
        let wrong = |detail: String| Err(Error::internal(pipeline.name(), detail));
        if parts.len() != pipeline.bindings().len() {
            return wrong(format!("{} buffers for {} bindings", parts.len(), pipeline.bindings().len()));
        }
        for (offset, size, capacity) in parts {
            if size > self.caps.max_binding {
                let (bytes, limit) = (size, self.caps.max_binding);
                return Err(Error::TooLarge { op: pipeline.name().into(), bytes, limit, at: At(None) });
            }
            let end = offset.checked_add(size);
            if size == 0 || end.is_none_or(|end| end > capacity) {
                return wrong(format!("{size} bytes at {offset} of a buffer of {capacity} bytes"));
            }
        }
        let fits = offset.is_multiple_of(self.params_align) && (offset as usize) < params_len;
        if pipeline.params_bytes() > 0 && !fits {
            return wrong(format!("parameters at offset {offset} of {params_len} bytes"));
        }
        fold(workgroups, self.caps.max_workgroups).map_or_else(
            || Err(Error::unsupported(pipeline.name(), format!("{workgroups} workgroups in one dispatch"))),
            Ok,
        )
    }

    /// Makes room for parameters. The arena only grows, and doubles, so this happens a few times in a program's life.
    pub(super) fn reserve_arena(&self, gpu: &Gpu, stream: &mut Stream, bytes: u64) -> Result<()> {
        // A block may be cut short at the end of `params`, but a binding has the block's full size.
        let bytes = bytes + self.device.limits().max_uniform_buffer_binding_size.min(64 << 10);
        if stream.arena.as_ref().is_some_and(|arena| arena.size() >= bytes) {
            return Ok(());
        }
        let size = bytes.next_power_of_two().max(ARENA);
        let arena = gpu.create(size, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)?;
        stream.arena = Some(arena);
        stream.generation += 1;
        stream.contents.clear();
        stream.groups.forget_arenas_but(stream.generation);
        stream.sets.clear();
        Ok(())
    }

    /// Writes the parameters that differ from what the arena holds: a loop whose parameters do not change writes nothing, one
    /// that counts its steps a short stretch.
    pub(super) fn write_params(&self, stream: &mut Stream, params: &[u8]) {
        const BLOCK: usize = 64;
        let blocks = params.len().div_ceil(BLOCK);
        let bounds = |block: usize| block * BLOCK..((block + 1) * BLOCK).min(params.len());
        let held = &stream.contents;
        let differs = |&block: &usize| held.get(bounds(block)) != Some(&params[bounds(block)]);
        let Some(first) = (0..blocks).find(differs) else { return };
        let last = (first..blocks).rev().find(differs).unwrap_or(first);
        let (start, end) = (bounds(first).start, bounds(last).end);
        // Writes come in words.
        let padded = end.next_multiple_of(4);
        if stream.contents.len() < padded {
            stream.contents.resize(padded, 0);
        }
        stream.contents[start..end].copy_from_slice(&params[start..end]);
        if let Some(arena) = &stream.arena {
            self.queue.write_buffer(arena, start as u64, &stream.contents[start..padded]);
        }
    }

    fn submit_chunk(&self, stream: &mut Stream, chunk: &Chunk<'_>) {
        self.submit_pass(chunk.weight, |pass| {
            for (dispatch, &grid) in chunk.work.iter().zip(chunk.grids).filter(|(d, _)| d.workgroups > 0) {
                pass.dispatch(&dispatch.pipeline, self.bind_group(stream, dispatch), dispatch.params_offset, grid);
            }
        });
    }

    /// Submits the pass of so much work that `record` fills; nothing where it stays empty.
    pub(super) fn submit_pass(&self, work: u64, record: impl FnOnce(&mut Pass<'_>)) {
        let span = trace::span(self.lane, "encode");
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let raw = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
        let mut pass = Pass { raw, current: None, dispatches: 0 };
        record(&mut pass);
        let dispatches = pass.dispatches;
        drop(pass);
        Counters::bump(&self.counters.dispatches, dispatches);
        if dispatches > 0 {
            let commands = encoder.finish();
            drop(span);
            let _span = trace::span(self.lane, "submit");
            self.submit(Some(commands), work);
        }
    }

    /// [`Inner::submit_chunk`] with a pass for each dispatch, between two timestamps that are copied to `staging`.
    /// `None` where there is nothing to run.
    fn submit_timed(
        &self,
        stream: &mut Stream,
        chunk: &Chunk<'_>,
        queries: &Queries,
        staging: wgpu::Buffer,
    ) -> Option<Timed> {
        let span = trace::span(self.lane, "encode");
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let mut dispatches = Vec::with_capacity(chunk.work.len());
        for (i, (dispatch, &grid)) in chunk.work.iter().zip(chunk.grids).enumerate() {
            if dispatch.workgroups == 0 {
                continue;
            }
            let query = 2 * dispatches.len() as u32;
            let pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some(dispatch.pipeline.name()),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries.set,
                    beginning_of_pass_write_index: Some(query),
                    end_of_pass_write_index: Some(query + 1),
                }),
            });
            let mut pass = Pass { raw: pass, current: None, dispatches: 0 };
            pass.dispatch(&dispatch.pipeline, self.bind_group(stream, dispatch), dispatch.params_offset, grid);
            dispatches.push(chunk.first + i);
        }
        let len = 16 * dispatches.len() as u64;
        if len > 0 {
            encoder.resolve_query_set(&queries.set, 0..2 * dispatches.len() as u32, &queries.resolved, 0);
            encoder.copy_buffer_to_buffer(&queries.resolved, 0, &staging, 0, Some(len));
        }
        Counters::bump(&self.counters.dispatches, dispatches.len() as u64);
        if len == 0 {
            return None;
        }
        let commands = encoder.finish();
        drop(span);
        let _span = trace::span(self.lane, "submit");
        let submitted = trace::now();
        let index = self.submit(Some(commands), chunk.weight);
        Some(Timed { copy: Copy { staging, len, faults: 0, index }, dispatches, submitted })
    }

    pub(super) fn bind_group<'a>(&self, stream: &'a mut Stream, dispatch: &Dispatch) -> &'a wgpu::BindGroup {
        let pipeline = &*dispatch.pipeline;
        let with_params = pipeline.params_bytes() > 0;
        let key = Key {
            layout: pipeline.layout.id,
            generation: if with_params { stream.generation } else { 0 },
            buffers: dispatch.buffers.iter().map(|s| (s.buffer.id(), s.offset, s.size)).collect(),
        };
        let (arena, panels) = (&stream.arena, &stream.panels);
        stream.groups.get(key, || {
            Counters::bump(&self.counters.bind_groups, 1);
            let entry = |binding: usize, buffer, offset, size| wgpu::BindGroupEntry {
                binding: binding as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: std::num::NonZeroU64::new(size),
                }),
            };
            let mut entries: SmallVec<[wgpu::BindGroupEntry<'_>; 10]> = SmallVec::new();
            if let (true, Some(arena)) = (with_params, arena) {
                entries.push(entry(0, arena, 0, u64::from(pipeline.params_bytes())));
            }
            for (i, slice) in dispatch.buffers.iter().enumerate() {
                entries.push(entry(i + 1, slice.buffer.raw(), slice.offset, slice.size.next_multiple_of(4)));
            }
            if pipeline.checks_indices {
                entries.push(entry(dispatch.buffers.len() + 1, &self.faults, 0, FAULT_BYTES));
            }
            let first = dispatch.buffers.len() + 1 + usize::from(pipeline.checks_indices);
            for (i, (panel, _)) in pipeline.panels.iter().enumerate() {
                // Where one is missing, wgpu's check of the group says so.
                if let Some(panel) = &panels[*panel] {
                    let resource = wgpu::BindingResource::TextureView(&panel.view);
                    entries.push(wgpu::BindGroupEntry { binding: (first + i) as u32, resource });
                }
            }
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.layout.bind_group,
                entries: &entries,
            })
        })
    }

    /// Submits commands of so much work, or only what was written to the queue. The caller holds the stream and an error scope.
    #[cfg_attr(target_arch = "wasm32", allow(unused_variables, reason = "nothing is measured in a browser"))]
    pub(super) fn submit(&self, commands: Option<wgpu::CommandBuffer>, work: u64) -> wgpu::SubmissionIndex {
        self.uploaded.store(0, Relaxed);
        let index = self.queue.submit(commands);
        Counters::bump(&self.counters.submits, 1);
        #[cfg(not(target_arch = "wasm32"))]
        {
            let mut in_flight = lock(&self.in_flight);
            let number = self.submitted.fetch_add(1, Relaxed) + 1;
            in_flight.push_back(Submission { index: index.clone(), number, work, at: std::time::Instant::now() });
            // Asking for one submission, with no time to wait, makes wgpu panic where another thread polls in between.
            let ended = Arc::clone(&self.ended);
            self.queue.on_submitted_work_done(move || {
                ended.fetch_max(number, std::sync::atomic::Ordering::AcqRel);
            });
        }
        index
    }
}
