//! Captured steps on a GPU: a plan that is prepared once, with buffers of its own for what it leaves behind.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{GpuBackend, State, scalar_bits};
use crate::backend::faults::{Opened, report_of};
use crate::backend::program::Computed;
use crate::backend::validate;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Call, Operand, Program};
use crate::graph::Value;
use crate::graph::doubt::Doubt;
use crate::graph::node::lock;
use crate::graph::number::Live;
use crate::ops::scalar::bits;
use crate::schedule::memory::Place;
use crate::schedule::{BufferRef, ParamSource, Plan, Snapshot};

/// Buffers that are kept for one result: that of the last run is read while the next is written, and one may be held by the
/// user for a while.
const RING: usize = 3;

/// A captured step.
pub struct GpuProgram {
    program: Program,
    /// The parameters as the last run left them.
    params: Vec<u8>,
    /// Parameters that differ from run to run: where they are, and what they are.
    live: Vec<(usize, DType, Live)>,
    /// Parameters that say how a check reports: where tag and slot of a node are.
    tags: Vec<(usize, usize)>,
    slots: Vec<(usize, usize)>,
    /// Positions of the nodes whose kernels check indices.
    tagged: Vec<usize>,
    places: Vec<Place>,
    outputs: Vec<Ring>,
}

/// The buffers of one result.
struct Ring {
    node: usize,
    bytes: u64,
    buffers: SmallVec<[Buffer; RING]>,
}

impl GpuBackend {
    /// Plans a step; beside the program the positions of the nodes whose values it leaves behind.
    pub fn compile(&self, snap: &Snapshot) -> Result<(GpuProgram, Vec<usize>)> {
        let prepared = self.prepare(snap, Plan::new(snap, &self.caps, self.fuse)?)?;
        self.gpu.count_plan(false);
        let plan = &prepared.plan;
        let (leaves, outputs) = (snap.leaves.len(), plan.outputs.len());
        let mut params = prepared.params;
        let (mut live, mut tags, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        let mut calls = Vec::with_capacity(plan.steps.len());
        for (s, step) in plan.steps.iter().enumerate() {
            let start = prepared.starts[s] as usize;
            for (p, source) in step.params.iter().enumerate() {
                let at = start + 4 * p;
                match source {
                    ParamSource::Const(_) => {}
                    ParamSource::Tag { node } => tags.push((at, *node)),
                    ParamSource::Slot { node } => slots.push((at, *node)),
                    ParamSource::Scalar { node, dtype } => {
                        let scalar = &snap.nodes[*node];
                        params[at..at + 4].copy_from_slice(&scalar_bits(scalar, *dtype).to_ne_bytes());
                        if let Some(source) = scalar.live() {
                            live.push((at, *dtype, source));
                        }
                    }
                }
            }
            let operand = |(i, buffer): (usize, &BufferRef)| Operand {
                buffer: match buffer {
                    BufferRef::Leaf(l) => *l,
                    BufferRef::Output(o) => leaves + o,
                    BufferRef::Place(p) => leaves + outputs + p,
                },
                window: step.windows.get(i).copied().flatten(),
            };
            calls.push(Call {
                pipeline: prepared.pipelines[s].clone(),
                operands: step.buffers.iter().enumerate().map(operand).collect(),
                params_offset: prepared.starts[s],
                workgroups: step.workgroups,
                work: step.work,
            });
        }
        let places = plan.places.clone();
        let of_leaves = snap.leaves.iter().map(|leaf| leaf.meta().bytes());
        let of_outputs = plan.outputs.iter().map(|(_, bytes)| *bytes);
        let needs = of_leaves.chain(of_outputs).chain(places.iter().map(|place| place.bytes)).collect();
        let program = self.gpu.program(calls, needs, params.len())?;
        let ring = |&(node, bytes): &(usize, u64)| Ring { node, bytes, buffers: SmallVec::new() };
        let positions = plan.outputs.iter().map(|(i, _)| *i).collect();
        let outputs = plan.outputs.iter().map(ring).collect();
        let tagged = prepared.tagged;
        Ok((GpuProgram { program, params, live, tags, slots, tagged, places, outputs }, positions))
    }

    /// Runs a step on the values that it starts from.
    pub fn replay(&self, step: &mut GpuProgram, snap: &Snapshot, leaves: &[Computed]) -> Result<Vec<Computed>> {
        let mut state = lock(&self.state);
        let mut outcome = self.replay_once(&mut state, step, snap, leaves);
        if let Err(Error::OutOfMemory { .. }) = outcome {
            // The workspace is a cache; without it there may be room.
            state.workspace.clear();
            self.gpu.trim();
            outcome = self.replay_once(&mut state, step, snap, leaves);
        }
        outcome
    }

    fn replay_once(
        &self,
        state: &mut State,
        step: &mut GpuProgram,
        snap: &Snapshot,
        leaves: &[Computed],
    ) -> Result<Vec<Computed>> {
        let mut table = Vec::with_capacity(leaves.len() + step.outputs.len() + step.places.len());
        for leaf in leaves {
            let buffer = leaf.value.downcast_ref::<Buffer>();
            table.push(buffer.ok_or_else(|| Error::argument("capture", "a value is not on this GPU"))?.clone());
        }
        for ring in &mut step.outputs {
            let buffer = self.next_of(ring)?;
            table.push(buffer);
        }
        for place in &step.places {
            let buffer = match state.workspace.get(place) {
                Some(buffer) => buffer,
                None => state.workspace.entry(*place).or_insert(self.gpu.alloc(place.bytes)?),
            };
            table.push(buffer.clone());
        }
        for (at, dtype, live) in &step.live {
            step.params[*at..at + 4].copy_from_slice(&bits(live.get(), *dtype).to_ne_bytes());
        }
        let mut doubts = self.open_checks(state, step, snap, leaves)?;
        self.gpu.replay(&step.program, &table, &step.params)?;
        let outputs = &table[leaves.len()..leaves.len() + step.outputs.len()];
        if crate::env::get().validate {
            validate::compare(self, snap, &table[..leaves.len()], step.outputs.iter().map(|r| r.node).zip(outputs))?;
        }
        let computed = |(ring, buffer): (&Ring, &Buffer)| Computed {
            value: Arc::new(buffer.clone()) as Value,
            doubt: doubts.get_mut(ring.node).map(std::mem::take).unwrap_or_default(),
        };
        Ok(step.outputs.iter().zip(outputs).map(computed).collect())
    }

    /// Numbers the index checks of this run; what the value of each node hangs on, empty where nothing hangs on anything.
    fn open_checks(
        &self,
        state: &mut State,
        step: &mut GpuProgram,
        snap: &Snapshot,
        leaves: &[Computed],
    ) -> Result<Vec<Doubt>> {
        if step.tagged.is_empty() && leaves.iter().all(|leaf| leaf.doubt.is_empty()) {
            return Ok(Vec::new());
        }
        for (var, leaf) in snap.leaves.iter().zip(leaves) {
            var.0.set_doubt(leaf.doubt.clone());
        }
        let Opened { doubts, reports } = self.open(snap, &step.tagged, &mut state.faults)?;
        let report = |node: &usize| report_of(*node, &step.tagged, &reports);
        for (at, node) in &step.tags {
            step.params[*at..at + 4].copy_from_slice(&report(node)?.tag.to_ne_bytes());
        }
        for (at, node) in &step.slots {
            step.params[*at..at + 4].copy_from_slice(&report(node)?.slot.to_ne_bytes());
        }
        Ok(doubts)
    }

    /// A buffer for a result that nobody reads any more.
    fn next_of(&self, ring: &mut Ring) -> Result<Buffer> {
        if let Some(free) = ring.buffers.iter().find(|buffer| buffer.is_free()) {
            return Ok(free.clone());
        }
        let buffer = self.gpu.alloc(ring.bytes)?;
        if ring.buffers.len() == RING {
            // Whoever holds it gives it back to the pool.
            ring.buffers.remove(0);
        }
        ring.buffers.push(buffer.clone());
        Ok(buffer)
    }
}
