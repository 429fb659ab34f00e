//! Programs: lists of dispatches that run again and again, on buffers that change between few sets.
//!
//! What can be checked and looked up once is: grids, bounds, the cuts between submissions. For each set of buffers that a
//! program has met the bind groups are remembered, so that a run on a known set looks nothing up.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::device::{Gpu, Inner};
use super::encode::{BufferSlice, Dispatch, SPLIT_DISPATCHES, Stream, chunk_len};
use super::pipeline::Pipeline;
use super::pool::{Buffer, BufferId};
use super::profile::Timing;
use super::sticky::scoped;
use super::sync::lock;
use crate::error::{Error, Result};

/// Sets of buffers whose bind groups a program remembers. A training loop alternates between two; results that are held for
/// a while add some.
const SETS: usize = 8;

/// A part of a buffer of the table that a run is given.
#[derive(Clone, Copy, Debug)]
pub struct BoundBuffer {
    /// Position in the table.
    pub buffer: usize,
    /// Offset and size in bytes where not the whole buffer is bound.
    pub window: Option<(u64, u64)>,
}

/// One kernel run of a program.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kernel.
    pub pipeline: Arc<Pipeline>,
    /// Its storage buffers, in the order of [`Pipeline::bindings`].
    pub operands: SmallVec<[BoundBuffer; 8]>,
    /// Where its parameters start: a multiple of [`Gpu::params_align`].
    pub params_offset: u32,
    /// Workgroups.
    pub workgroups: u64,
    /// An estimate of the bytes that it touches.
    pub work: u64,
}

impl Call {
    /// The call on the buffers of a table.
    fn on(&self, table: &[Buffer]) -> Dispatch {
        let slice = |operand: &BoundBuffer| {
            let buffer = &table[operand.buffer];
            match operand.window {
                Some((offset, size)) => BufferSlice { buffer: buffer.clone(), offset, size },
                None => BufferSlice::whole(buffer),
            }
        };
        Dispatch {
            pipeline: self.pipeline.clone(),
            buffers: self.operands.iter().map(slice).collect(),
            params_offset: self.params_offset,
            workgroups: self.workgroups,
            work: self.work,
        }
    }
}

/// Calls that have been checked against the device.
pub struct Program {
    id: u64,
    calls: Vec<Call>,
    grids: Vec<(u32, u32)>,
    /// The work of each call, in its order.
    work: Vec<u64>,
    /// Bytes that each buffer of the table must have.
    needs: Vec<u64>,
    params_len: usize,
    gpu: Weak<Inner>,
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(inner) = self.gpu.upgrade() {
            let sets = lock(&inner.stream).sets.forget_program(self.id);
            // Outside the lock: bind groups are the last to hold some buffers.
            drop(sets);
        }
    }
}

/// The bind groups of a program on one set of buffers.
pub(super) struct Set {
    program: u64,
    generation: u32,
    table: Vec<BufferId>,
    groups: Vec<wgpu::BindGroup>,
    used: u64,
}

/// Bind groups of all programs, a set of buffers each.
#[derive(Default)]
pub(super) struct Sets {
    entries: Vec<Set>,
    clock: u64,
}

impl Sets {
    /// Drops the sets that bind one of `buffers`.
    pub(super) fn forget(&mut self, buffers: &foldhash::HashSet<BufferId>) {
        self.entries.retain(|set| !set.table.iter().any(|id| buffers.contains(id)));
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    fn forget_program(&mut self, program: u64) -> Vec<Set> {
        let (gone, kept) = std::mem::take(&mut self.entries).into_iter().partition(|set| set.program == program);
        self.entries = kept;
        gone
    }

    /// Takes out the set of a program on these buffers.
    fn take(&mut self, program: u64, generation: u32, table: &[Buffer]) -> Option<Set> {
        let fits = |set: &Set| {
            set.program == program
                && set.generation == generation
                && set.table.iter().zip(table).all(|(id, buffer)| *id == buffer.id())
        };
        let at = self.entries.iter().rposition(fits)?;
        Some(self.entries.swap_remove(at))
    }

    /// Puts a set back, instead of the one that its program has not used for longest where there are many.
    fn put(&mut self, mut set: Set) {
        self.clock += 1;
        set.used = self.clock;
        let own = || self.entries.iter().enumerate().filter(|(_, other)| other.program == set.program);
        if own().count() >= SETS
            && let Some((oldest, _)) = own().min_by_key(|(_, other)| other.used)
        {
            self.entries.swap_remove(oldest);
        }
        self.entries.push(set);
    }
}

impl Gpu {
    /// Checks a program. `needs` says how many bytes each buffer of the table has at least, `params_len` how many bytes of
    /// parameters a run comes with.
    ///
    /// # Errors
    /// Where a call does not fit its kernel or the device.
    pub fn program(&self, calls: Vec<Call>, needs: Vec<u64>, params_len: usize) -> Result<Program> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let inner = &*self.0;
        let grids = calls.iter().map(|call| inner.check_call(call, &needs, params_len)).collect::<Result<Vec<_>>>()?;
        let work = calls.iter().map(|call| call.work).collect();
        let (id, gpu) = (NEXT.fetch_add(1, Relaxed), Arc::downgrade(&self.0));
        Ok(Program { id, calls, grids, work, needs, params_len, gpu })
    }

    /// Runs a program on the buffers of `table` with these parameters.
    ///
    /// # Errors
    /// Where a buffer is smaller than the program was checked with, where there is no memory, and the device's lasting error.
    pub fn replay(&self, program: &Program, table: &[Buffer], params: &[u8]) -> Result<()> {
        let inner = &*self.0;
        inner.sticky.check()?;
        program.check(table, params)?;
        if program.calls.is_empty() {
            return Ok(());
        }
        #[cfg(not(target_arch = "wasm32"))]
        self.note_thread();
        let mut stream = lock(&inner.stream);
        inner.reserve_arena(self, &mut stream, params.len() as u64 + 256)?;
        let (outcome, error) = scoped(&inner.device, || {
            inner.write_params(&mut stream, params);
            let known = {
                let generation = stream.generation;
                stream.sets.take(program.id, generation, table)
            };
            let set = known.unwrap_or_else(|| inner.new_set(&mut stream, program, table));
            let mut start = 0;
            while start < program.calls.len() {
                let limit = lock(&inner.pace).limit();
                let (len, work) = chunk_len(SPLIT_DISPATCHES, limit, program.work[start..].iter().copied());
                inner.submit_calls(program, &set, start..start + len, work);
                inner.limit_in_flight()?;
                start += len;
            }
            stream.sets.put(set);
            Ok(())
        });
        if let Some(error) = error {
            stream.forget_bindings();
            return Err(inner.raised("run", 0, &error));
        }
        outcome
    }
}

impl Gpu {
    /// [`Gpu::replay`] that also measures each call, and waits.
    ///
    /// # Errors
    /// As [`Gpu::replay`].
    pub fn replay_timed(&self, program: &Program, table: &[Buffer], params: &[u8]) -> Result<Vec<Option<Timing>>> {
        program.check(table, params)?;
        let work: Vec<Dispatch> = program.calls.iter().map(|call| call.on(table)).collect();
        self.run_timed(&work, params)
    }
}

impl Program {
    fn check(&self, table: &[Buffer], params: &[u8]) -> Result<()> {
        let fits = table.len() == self.needs.len()
            && params.len() == self.params_len
            && table.iter().zip(&self.needs).all(|(buffer, bytes)| buffer.bytes() >= *bytes);
        match fits {
            true => Ok(()),
            false => Err(Error::internal("replay", "the buffers are not those that the program was made for")),
        }
    }
}

impl Inner {
    /// The grid of a call whose buffers have `needs` bytes.
    fn check_call(&self, call: &Call, needs: &[u64], params_len: usize) -> Result<(u32, u32)> {
        if let Some(wrong) = call.operands.iter().find(|operand| operand.buffer >= needs.len()) {
            let detail = format!("buffer {} of {}", wrong.buffer, needs.len());
            return Err(Error::internal(call.pipeline.name(), detail));
        }
        let sizes = call.operands.iter().map(|operand| {
            let bytes = needs.get(operand.buffer).copied().unwrap_or(0);
            let whole = (0, bytes.max(1).next_multiple_of(16));
            let (offset, size) = operand.window.unwrap_or(whole);
            // Buffers are handed out in multiples of 16 bytes.
            (offset, size, bytes.next_multiple_of(16).max(16))
        });
        self.check_parts(&call.pipeline, sizes, (call.params_offset, params_len), call.workgroups)
    }

    fn new_set(&self, stream: &mut Stream, program: &Program, table: &[Buffer]) -> Set {
        let groups = program.calls.iter().map(|call| self.bind_group(stream, &call.on(table)).clone());
        let groups = groups.collect();
        let table = table.iter().map(Buffer::id).collect();
        Set { program: program.id, generation: stream.generation, table, groups, used: 0 }
    }

    fn submit_calls(&self, program: &Program, set: &Set, chunk: Range<usize>, work: u64) {
        self.submit_pass(work, |pass| {
            for i in chunk {
                let call = &program.calls[i];
                pass.dispatch(&call.pipeline, &set.groups[i], call.params_offset, program.grids[i]);
            }
        });
    }
}
