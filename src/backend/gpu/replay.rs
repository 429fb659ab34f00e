//! Captured steps on a GPU: a recipe that is compiled once, with buffers of its own for what it leaves behind.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::{GpuBackend, GpuState};
use crate::backend::explain::{self, Explanation};
use crate::backend::faults::{CheckSources, GateWords, Opened};
use crate::backend::program::{Computed, Spare};
use crate::backend::recipe::{Bound, Form, Param, Recipe};
use crate::backend::validate;
use crate::env;
use crate::error::{Error, Result};
use crate::gpu::{BoundBuffer, Buffer, Call, Program, Timing};
use crate::graph::Value;
use crate::graph::node::{address, lock};
use crate::graph::number::Live;
use crate::graph::pending_checks::PendingChecks;
use crate::ir::Snapshot;
use crate::plan::Plan;
use crate::trace;

/// Buffers that are kept for one result: that of the last run is read while the next is written, and one may be held by the
/// user for a while.
const RING: usize = 3;

/// A captured step.
pub struct GpuProgram {
    recipe: Recipe,
    program: Program,
    /// The parameters as the last run left them.
    params: Vec<u8>,
    /// Parameters that differ from run to run: where they are, and what they are.
    live: Vec<(usize, Form, Live)>,
    /// Parameters that say how a check reports: where tag and slot of a check are.
    tags: Vec<(usize, usize)>,
    slots: Vec<(usize, usize)>,
    /// Parameters that say what a gate looks at: where they are, the gate, and the word.
    gates: Vec<(usize, usize, usize)>,
    /// Bytes of the workspace_buffers in the workspace.
    workspace_buffers: Vec<u64>,
    outputs: Vec<Ring>,
    /// The buffers of a run; empty between runs, kept for its memory.
    table: Vec<Buffer>,
}

/// The buffers of one result.
struct Ring {
    bytes: u64,
    buffers: SmallVec<[Arc<Buffer>; RING]>,
    /// The one that the present run writes.
    current: usize,
}

/// What a replay needs beside the step itself where values are compared with those of the CPU reference.
pub struct Graph<'a> {
    pub snap: &'a Snapshot,
    /// Positions of the outputs.
    pub outputs: &'a [usize],
}

impl GpuProgram {
    /// What it does.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

impl GpuBackend {
    /// Plans a step; beside the program its plan, which says which nodes' values it leaves behind.
    pub fn compile(&self, snap: &Snapshot) -> Result<(GpuProgram, Plan)> {
        self.tune(snap, &mut lock(&self.state))?;
        let (plan, _) = Plan::new(snap, &self.caps, self.fuse, self.budget())?;
        if env::get().validate {
            self.certify(snap, &mut lock(&self.state))?;
        }
        self.log_plan(snap, &plan);
        self.gpu.count_plan(false);
        Ok((self.assemble(Recipe::of(snap, &plan), true)?, plan))
    }

    /// Compiles a recipe. What does not come from this process is not `trusted`, and its kernels run with all checks.
    pub fn assemble(&self, recipe: Recipe, trusted: bool) -> Result<GpuProgram> {
        if !recipe.is_sound() {
            return Err(Error::internal("capture", "the recipe of the step refers to what is not there"));
        }
        let pipelines = self.pipelines(recipe.kernels.iter().map(|kernel| &**kernel), trusted)?;
        let align = self.gpu.params_align() as usize;
        let (mut params, mut live, mut tags, mut slots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut gates = Vec::new();
        let mut calls = Vec::with_capacity(recipe.calls.len());
        for call in &recipe.calls {
            params.resize(params.len().next_multiple_of(align), 0u8);
            let start = params.len();
            for param in &call.params {
                let at = params.len();
                let bits = match *param {
                    Param::Const(bits) => bits,
                    Param::Live(index, form) => {
                        live.push((at, form, recipe.live[index].clone()));
                        0
                    }
                    Param::Tag(check) => {
                        tags.push((at, check));
                        0
                    }
                    Param::Slot(check) => {
                        slots.push((at, check));
                        0
                    }
                    Param::Gate(gate, word) => {
                        gates.push((at, gate, word));
                        0
                    }
                };
                params.extend_from_slice(&bits.to_ne_bytes());
            }
            params.resize(params.len().next_multiple_of(16), 0);
            let operand = |&(buffer, window): &Bound| BoundBuffer { buffer, window };
            calls.push(Call {
                pipeline: pipelines[call.kernel].clone(),
                operands: call.operands.iter().map(operand).collect(),
                params_offset: u32::try_from(start).map_err(|_| Error::internal("capture", "too many parameters"))?,
                workgroups: call.workgroups,
                work: call.work,
            });
        }
        let workspace_buffers = recipe.workspace_buffers.clone();
        let needs = recipe.leaves.iter().chain(&recipe.outputs).copied().chain(workspace_buffers.iter().copied());
        let needs: Vec<u64> = needs.collect();
        if let Some(&bytes) = needs.iter().find(|bytes| **bytes > self.caps.max_buffer) {
            let limit = self.caps.max_buffer;
            return Err(Error::TooLarge { op: "capture".into(), bytes, limit, at: Default::default() });
        }
        let program = self.gpu.program(calls, needs, params.len())?;
        let ring = |&bytes: &u64| Ring { bytes, buffers: SmallVec::new(), current: 0 };
        let outputs = recipe.outputs.iter().map(ring).collect();
        Ok(GpuProgram {
            recipe,
            program,
            params,
            live,
            tags,
            slots,
            gates,
            workspace_buffers,
            outputs,
            table: Vec::new(),
        })
    }

    /// Runs a step on the values that it starts from.
    pub fn replay(
        &self,
        step: &mut GpuProgram,
        leaves: &[&Computed],
        spare: &Spare,
        graph: Option<Graph<'_>>,
        explanation: Option<&mut Explanation>,
    ) -> Result<Vec<Computed>> {
        let lane = self.gpu.lane();
        let _span = trace::span(lane, "replay");
        let (start, mut timings) = (trace::now(), None);
        if explanation.is_some() || env::get().debug >= 2 || lane != 0 {
            timings = Some(Vec::new());
        }
        let mut state = lock(&self.state);
        let mut outcome = self.replay_once(&mut state, step, leaves, spare, graph.as_ref(), timings.as_mut());
        if let Err(Error::OutOfMemory { .. }) = outcome {
            step.table.clear();
            // The workspace is a cache; without it there may be room.
            state.workspace.clear();
            self.gpu.trim();
            outcome = self.replay_once(&mut state, step, leaves, spare, graph.as_ref(), timings.as_mut());
        }
        // Handles to buffers would keep them from being used again.
        step.table.clear();
        let outputs = outcome?;
        if let Some(timings) = timings {
            self.report(step, &timings, start, explanation);
        }
        Ok(outputs)
    }

    /// Tells the log, the trace and an explanation of a run that was measured.
    fn report(&self, step: &GpuProgram, timings: &[Option<Timing>], start: Duration, into: Option<&mut Explanation>) {
        let mut kernels = step.recipe.reports();
        for (kernel, timing) in kernels.iter_mut().zip(timings) {
            kernel.time = timing.map(|timing| timing.length);
        }
        if env::get().debug >= 2 {
            kernels.iter().for_each(|kernel| log::info!("  {}", kernel.line()));
        }
        explain::trace(self.gpu.lane(), &kernels, timings);
        if let Some(explanation) = into {
            explanation.kernels = kernels;
            explanation.plan = step.recipe.summary();
            explanation.plan_reused = true;
            explanation.has_times = self.measures();
            explanation.running = trace::now().saturating_sub(start);
        }
    }

    fn replay_once(
        &self,
        state: &mut GpuState,
        step: &mut GpuProgram,
        leaves: &[&Computed],
        spare: &Spare,
        graph: Option<&Graph<'_>>,
        timings: Option<&mut Vec<Option<Timing>>>,
    ) -> Result<Vec<Computed>> {
        for leaf in leaves {
            let buffer = leaf.value.downcast_ref::<Buffer>();
            step.table.push(buffer.ok_or_else(|| Error::internal("capture", "a value is not on this GPU"))?.clone());
        }
        let validate = env::get().validate;
        let before = if validate { step.table.clone() } else { Vec::new() };
        // Values that are written over: those that somebody else has, or that are compared afterwards, are copied first.
        let alone = |leaf: usize| spare.leaves.get(leaf).copied().unwrap_or(false) && !validate;
        let replaced = (0..step.outputs.len()).filter_map(|o| step.recipe.replaced(o));
        self.separate(&mut step.table, replaced.filter(|&leaf| !alone(leaf)))?;
        let mut taken: SmallVec<[Option<Value>; 32]> = SmallVec::new();
        for (o, ring) in step.outputs.iter_mut().enumerate() {
            let Some(leaf) = step.recipe.replaced(o) else {
                taken.push(None);
                let address = spare.outputs.get(o).copied().unwrap_or(0);
                step.table.push(self.next_of(ring, address)?);
                continue;
            };
            let over = step.table[leaf].clone();
            taken.push(Some(if alone(leaf) { leaves[leaf].value.clone() } else { Arc::new(over.clone()) as Value }));
            step.table.push(over);
        }
        state.workspace.reserve(&self.gpu, &step.workspace_buffers)?;
        self.gpu.reserve_panels(&step.recipe.panels)?;
        step.table.extend((0..step.workspace_buffers.len()).map(|buffer| state.workspace.get(buffer).clone()));
        for (at, form, live) in &step.live {
            step.params[*at..at + 4].copy_from_slice(&form.bits(live.get()).to_ne_bytes());
        }
        let mut all_pending_checks = self.open_checks(state, step, leaves)?;
        match timings {
            Some(timings) if self.measures() => {
                *timings = self.gpu.replay_timed(&step.program, &step.table, &step.params)?;
            }
            Some(timings) => {
                self.gpu.replay(&step.program, &step.table, &step.params)?;
                *timings = vec![None; step.recipe.calls.len()];
            }
            None => self.gpu.replay(&step.program, &step.table, &step.params)?,
        }
        if let (true, Some(graph)) = (validate, graph) {
            let outputs = &step.table[leaves.len()..leaves.len() + step.outputs.len()];
            let outputs = graph.outputs.iter().copied().zip(outputs);
            validate::compare(self, graph.snap, &before, outputs)?;
        }
        let computed = |(o, ring): (usize, &Ring)| Computed {
            value: taken[o].take().unwrap_or_else(|| ring.buffers[ring.current].clone() as Value),
            pending_checks: all_pending_checks.get_mut(o).map(std::mem::take).unwrap_or_default(),
        };
        Ok(step.outputs.iter().enumerate().map(computed).collect())
    }

    /// Numbers the index checks of this run; what each output depends on, empty where nothing depends on anything.
    fn open_checks(
        &self,
        state: &mut GpuState,
        step: &mut GpuProgram,
        leaves: &[&Computed],
    ) -> Result<Vec<PendingChecks>> {
        let recipe = &step.recipe;
        if recipe.checks.is_empty() && step.gates.is_empty() && leaves.iter().all(|leaf| leaf.pending_checks.is_empty())
        {
            return Ok(Vec::new());
        }
        self.make_room(recipe.checks.len(), &mut state.faults)?;
        let all_pending_checks: Vec<&PendingChecks> = leaves.iter().map(|leaf| &leaf.pending_checks).collect();
        let Opened { all_pending_checks, reports } =
            state.faults.open_run(&recipe.checks, &all_pending_checks, &recipe.output_checks, &recipe.gates);
        self.clear_stale(&reports, &mut state.faults)?;
        for (at, check) in &step.tags {
            step.params[*at..at + 4].copy_from_slice(&reports[*check].tag.to_ne_bytes());
        }
        for (at, check) in &step.slots {
            step.params[*at..at + 4].copy_from_slice(&reports[*check].slot.to_ne_bytes());
        }
        let words = |gate: &CheckSources| {
            let own = gate.checks.iter().map(|&check| reports[check]);
            state.faults.gate_words(own, gate.leaves.iter().map(|&leaf| leaves[leaf].pending_checks.clone()))
        };
        let words: Vec<GateWords> = step.recipe.gates.iter().map(words).collect();
        for (at, gate, word) in &step.gates {
            step.params[*at..at + 4].copy_from_slice(&words[*gate][*word].to_ne_bytes());
        }
        Ok(all_pending_checks)
    }

    /// A buffer for a result that nobody reads any more, or that of the value at this address, which the result takes the place of.
    fn next_of(&self, ring: &mut Ring, replaced: usize) -> Result<Buffer> {
        let free = |buffer: &Arc<Buffer>| {
            let holders = if address(buffer) == replaced { 2 } else { 1 };
            Arc::strong_count(buffer) == holders && buffer.is_free()
        };
        if let Some(at) = ring.buffers.iter().position(free) {
            ring.current = at;
            return Ok((*ring.buffers[at]).clone());
        }
        let buffer = self.gpu.alloc(ring.bytes)?;
        if ring.buffers.len() == RING {
            // Whoever holds it gives it back to the pool.
            ring.buffers.remove(0);
        }
        ring.buffers.push(Arc::new(buffer.clone()));
        ring.current = ring.buffers.len() - 1;
        Ok(buffer)
    }
}
