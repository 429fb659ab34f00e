//! Runs plans on a GPU.

mod certify;
mod replay;
mod synthetic;
mod tune;
mod workspace;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::{HashMap, HashSet};

use crate::array::Array;
use crate::backend::explain::{self, Explanation};
use crate::backend::faults::{Faults, Opened, Report, gate_word, report_of};
use crate::backend::validate;
use crate::caps::Caps;
use crate::codegen::KernelText;
use crate::compiling::Compilation;
use crate::dtype::DType;
use crate::env;
use crate::error::{Error, Result};
use crate::gpu::{Binding, Buffer, BufferId, BufferSlice, Dispatch, Gpu, KernelSource, Pipeline, Timing};
use crate::graph::node::lock;
use crate::graph::pending_checks::PendingChecks;
use crate::graph::{Value, Var};
use crate::ir::gate::Unchecked;
use crate::ir::{Merged, Snapshot};
use crate::ops::scalar::bits;
use crate::plan::{BufferRef, ParamSource, Plan};
use crate::trace;
use crate::tuning::Choices;

pub use replay::{GpuProgram, Graph};
use workspace::Workspace;

/// Plans that are kept; the one unused for longest goes first.
const PLANS: usize = 256;

/// The backend of a GPU adapter.
pub struct GpuBackend {
    pub gpu: Gpu,
    /// What kernels are chosen by: the adapter's capabilities, or others in tests.
    caps: Caps,
    fuse: bool,
    /// Bytes that a flush may need at once; no bound where it is `u64::MAX`.
    budget: AtomicU64,
    reuse: AtomicBool,
    state: Mutex<GpuState>,
}

#[derive(Default)]
struct GpuState {
    plans: HashMap<u128, Prepared>,
    clock: u64,
    /// Buffers that all plans share for values that do not outlive a flush. One queue runs all flushes in order.
    workspace: Workspace,
    faults: Faults,
    partners: Partners,
    /// Kernels that were held against plainer ones.
    certified: HashSet<u128>,
}

/// What a plan is run for.
#[derive(Clone, Copy, Default)]
struct Purpose {
    /// Its kernels are measured.
    profile: bool,
    /// What it leaves behind is compared with the CPU reference.
    validate: bool,
}

/// Pairs of buffers between which a variable's value alternates: a step reads the one and writes the other. Whatever plan runs
/// the step, the pair stays.
type Partners = HashMap<BufferId, BufferId>;

/// Pairs that are remembered; past that all are forgotten.
const PARTNERS: usize = 1 << 16;

/// A plan with what it takes to run it.
struct Prepared {
    plan: Plan,
    pipelines: Vec<Arc<Pipeline>>,
    /// The parameter block with everything but scalars and tags filled in, and where each step's part starts.
    params: Vec<u8>,
    starts: Vec<u32>,
    /// Positions of the nodes whose kernels check indices, ascending.
    tagged: Vec<usize>,
    used: u64,
    last: Last,
}

/// The buffers of a plan's last run. A training loop alternates between two sets of buffers for what it updates; asking for
/// the same buffers again makes the sets, and so the bind groups, the same in every second step.
#[derive(Default)]
struct Last {
    leaves: Vec<BufferId>,
    outputs: Vec<BufferId>,
}

impl GpuBackend {
    pub fn new(gpu: Gpu, caps: Caps, fuse: bool) -> GpuBackend {
        let mut backend = GpuBackend {
            gpu,
            caps,
            fuse,
            budget: AtomicU64::new(u64::MAX),
            reuse: AtomicBool::new(true),
            state: Mutex::default(),
        };
        backend.try_cooperative();
        if let Some(path) = &env::get().tune {
            match Choices::open(path, backend.gpu.info().to_string()) {
                Ok(choices) => backend.caps.choices = Some(Arc::new(choices)),
                Err(error) => log::warn!("nothing is tuned: {error}"),
            }
        }
        backend
    }

    /// Whether plans of structures seen before are used again.
    pub fn set_plan_reuse(&self, on: bool) {
        self.reuse.store(on, Ordering::Relaxed);
    }

    /// Whether ops share kernels.
    pub fn fuses(&self) -> bool {
        self.fuse
    }

    /// What kernels are chosen by.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Sets the bytes that a flush may need at once.
    pub fn set_budget(&self, budget: Option<u64>) {
        self.budget.store(budget.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn budget(&self) -> Option<u64> {
        Some(self.budget.load(Ordering::Relaxed)).filter(|&bytes| bytes != u64::MAX)
    }

    /// What plans depend on beside the graph.
    fn settings(&self, budget: Option<u64>) -> u64 {
        budget.map_or(0, |bytes| bytes.wrapping_mul(2).wrapping_add(2)) ^ u64::from(self.fuse)
    }

    /// Whether kernels can be timed. A browser cannot wait for the times.
    fn measures(&self) -> bool {
        self.caps.timestamps && cfg!(not(target_arch = "wasm32"))
    }

    /// Computes what `targets` and the held nodes among `also` need.
    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        self.flush_with(targets, also, None)
    }

    /// Computes what `targets` need and measures it.
    pub fn explain(&self, targets: &[Var]) -> Result<Explanation> {
        let mut explanation = Explanation::new(self.gpu.info().to_string());
        self.flush_with(targets, &[], Some(&mut explanation))?;
        Ok(explanation)
    }

    fn flush_with(&self, targets: &[Var], also: &[Var], explanation: Option<&mut Explanation>) -> Result<()> {
        let mut state = lock(&self.state);
        let start = trace::now();
        let budget = self.budget();
        let snap = Snapshot::new(targets, also, Unchecked::After(state.faults.resolved()), self.settings(budget));
        if snap.nodes.is_empty() {
            return Ok(());
        }
        let lane = self.gpu.lane();
        trace::recorded(lane, start);
        let _flush = trace::span_since(lane, "flush", start);
        let planning = trace::span_since(lane, "plan", start);
        let state = &mut *state;
        state.clock += 1;
        let reused = self.reuse.load(Ordering::Relaxed) && state.plans.contains_key(&snap.hash);
        let mut compiling = Duration::ZERO;
        if reused {
            drop(planning);
        } else {
            self.tune(&snap, state)?;
            let (plan, _) = Plan::new(&snap, &self.caps, self.fuse, budget)?;
            drop(planning);
            if env::get().validate {
                self.certify(&snap, state)?;
            }
            let compile_start = trace::now();
            let _span = trace::span(lane, "compile");
            let prepared = self.prepare(&snap, plan)?;
            compiling = trace::now().saturating_sub(compile_start);
            if state.plans.len() >= PLANS
                && let Some(oldest) = state.plans.iter().min_by_key(|(_, p)| p.used).map(|(k, _)| *k)
            {
                state.plans.remove(&oldest);
            }
            state.plans.insert(snap.hash, prepared);
        }
        self.gpu.count_plan(reused);
        let Some(prepared) = state.plans.get_mut(&snap.hash) else {
            return Err(Error::internal("flush", "a plan vanished"));
        };
        prepared.used = state.clock;
        let profile = explanation.is_some() || env::get().debug >= 2 || lane != 0;
        let planned = trace::now();
        let summary = profile.then(|| prepared.plan.summary(&snap));
        let GpuState { workspace, faults, partners, .. } = state;
        let purpose = Purpose { profile, validate: env::get().validate };
        let mut outcome = self.execute(&snap, prepared, workspace, faults, partners, purpose);
        if let Err(Error::OutOfMemory { .. }) = outcome {
            // The workspace is a cache; without it there may be room.
            workspace.clear();
            self.gpu.trim();
            outcome = self.execute(&snap, prepared, workspace, faults, partners, purpose);
        }
        let timings = outcome?;
        let Some(summary) = summary else { return Ok(()) };
        let kernels = explain::reports(&snap, &prepared.plan, &timings);
        if env::get().debug >= 2 {
            kernels.iter().for_each(|kernel| log::info!("  {}", kernel.line()));
        }
        explain::trace(lane, &kernels, &timings);
        if let Some(explanation) = explanation {
            explanation.kernels = kernels;
            explanation.plan = summary;
            explanation.plan_reused = reused;
            explanation.has_times = self.measures();
            explanation.planning = planned.saturating_sub(start).saturating_sub(compiling);
            explanation.compiling = compiling;
            explanation.running = trace::now().saturating_sub(planned);
        }
        Ok(())
    }

    /// Plans what `targets` need, without running or remembering anything.
    pub fn plan(&self, targets: &[Var], budget: Option<u64>) -> Result<(Plan, Merged)> {
        let state = lock(&self.state);
        let budget = budget.or(self.budget());
        let unchecked = Unchecked::After(state.faults.resolved());
        let snap = Snapshot::new(targets, &[], unchecked, self.settings(budget));
        Plan::new(&snap, &self.caps, self.fuse, budget)
    }

    /// Tells the log of a new plan.
    fn log_plan(&self, snap: &Snapshot, plan: &Plan) {
        let debug = env::get().debug;
        if debug >= 1 {
            log::info!(
                "plan {:016x}: {} nodes, {} kernels, workspace {} bytes, {} kept values",
                snap.hash as u64,
                snap.nodes.len(),
                plan.steps.len(),
                plan.workspace,
                plan.outputs.len()
            );
        }
        if debug >= 3 {
            plan.clusters.iter().for_each(|cluster| log::info!("  {}", explain::cluster_line(snap, cluster)));
        }
    }

    /// Compiles a plan's kernels.
    fn prepare(&self, snap: &Snapshot, plan: Plan) -> Result<Prepared> {
        self.log_plan(snap, &plan);
        let pipelines = self.pipelines(plan.steps.iter().map(|step| &*step.kernel), true)?;
        let align = self.gpu.params_align() as usize;
        let mut params = Vec::new();
        let mut starts = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            params.resize(params.len().next_multiple_of(align), 0);
            starts.push(params.len() as u32);
            for source in &step.params {
                let bits = if let ParamSource::Const(bits) = source { *bits } else { 0 };
                params.extend_from_slice(&bits.to_ne_bytes());
            }
            params.resize(params.len().next_multiple_of(16), 0);
        }
        let params_of = plan.steps.iter().flat_map(|step| &step.params);
        let mut tagged: Vec<usize> =
            params_of.filter_map(|p| if let ParamSource::Tag { node } = p { Some(*node) } else { None }).collect();
        tagged.sort_unstable();
        tagged.dedup();
        Ok(Prepared { plan, pipelines, params, starts, tagged, used: 0, last: Last::default() })
    }

    /// The pipelines of kernels; says how far it has come where they have to be compiled.
    fn pipelines<'a>(
        &self,
        kernels: impl Iterator<Item = &'a KernelText> + Clone,
        trusted: bool,
    ) -> Result<Vec<Arc<Pipeline>>> {
        let new = kernels.clone().map(|kernel| kernel.key).filter(|key| !self.gpu.has_pipeline(*key, trusted));
        let mut new: HashSet<u128> = new.collect();
        let mut compilation = Compilation::new(&self.gpu.info().name, new.len());
        let mut pipelines = Vec::with_capacity(kernels.size_hint().0);
        for kernel in kernels {
            pipelines.push(self.pipeline(kernel, trusted)?);
            if new.remove(&kernel.key) {
                compilation.step();
            }
        }
        compilation.finish();
        Ok(pipelines)
    }

    fn pipeline(&self, kernel: &KernelText, trusted: bool) -> Result<Arc<Pipeline>> {
        if env::get().debug >= 4 {
            log::info!("{}:\n{}", kernel.name, kernel.needed());
        }
        self.gpu.pipeline(kernel.key, trusted, || KernelSource {
            name: kernel.name.clone(),
            wgsl: kernel.needed(),
            bindings: kernel.writable.iter().map(|&w| if w { Binding::ReadWrite } else { Binding::Read }).collect(),
            params_bytes: kernel.params_bytes,
            checks_indices: kernel.checks_indices,
            panels: kernel.panels.clone(),
            trusted: kernel.trusted,
        })
    }

    /// Runs a plan: the times of its steps, where they were asked for and there are any.
    fn execute(
        &self,
        snap: &Snapshot,
        prepared: &mut Prepared,
        workspace: &mut Workspace,
        faults: &mut Faults,
        partners: &mut Partners,
        purpose: Purpose,
    ) -> Result<Vec<Option<Timing>>> {
        let encoding = trace::span(self.gpu.lane(), "encode");
        // What is compared afterwards must still be there.
        let given_up = match prepared.plan.in_place.iter().any(Option::is_some) {
            true if purpose.validate => vec![false; snap.leaves.len()],
            true => snap.given_up(prepared.plan.values.iter().map(|(i, _)| *i)),
            false => Vec::new(),
        };
        let mut leaves = snap.leaves.iter().map(buffer_of).collect::<Result<Vec<_>>>()?;
        let before = if purpose.validate { leaves.clone() } else { Vec::new() };
        let shared = prepared.plan.in_place.iter().flatten().copied().filter(|&leaf| !given_up[leaf]);
        self.separate(&mut leaves, shared)?;
        let replaced = replaced(snap, &prepared.plan, &leaves);
        let outputs = self.output_buffers(prepared, &leaves, &replaced, partners)?;
        workspace.reserve(&self.gpu, &prepared.plan.workspace_buffers)?;
        self.gpu.reserve_panels(&prepared.plan.panels)?;
        let Opened { mut all_pending_checks, reports } = self.open(snap, &prepared.tagged, faults)?;
        let report = |node: &usize| report_of(*node, &prepared.tagged, &reports);
        let gates = faults.gates(snap, &prepared.tagged, &reports);
        let mut params = prepared.params.clone();
        let mut dispatches = Vec::with_capacity(prepared.plan.steps.len());
        for (s, step) in prepared.plan.steps.iter().enumerate() {
            let start = prepared.starts[s] as usize;
            for (p, source) in step.params.iter().enumerate() {
                let bits = match source {
                    ParamSource::Const(_) => continue,
                    ParamSource::Scalar { node, dtype } => scalar_bits(&snap.nodes[*node], *dtype),
                    ParamSource::Tag { node } => report(node)?.tag,
                    ParamSource::Slot { node } => report(node)?.slot,
                    ParamSource::Gate { node, word } => gate_word(&gates, *node, *word)?,
                };
                params[start + 4 * p..start + 4 * p + 4].copy_from_slice(&bits.to_ne_bytes());
            }
            let buffers = step
                .buffers
                .iter()
                .enumerate()
                .map(|(i, buffer)| {
                    let buffer = match buffer {
                        BufferRef::Leaf(l) => &leaves[*l],
                        BufferRef::Output(o) => &outputs[*o],
                        BufferRef::Workspace(p) => workspace.get(*p),
                    };
                    match step.windows.get(i).copied().flatten() {
                        Some((offset, size)) => BufferSlice { buffer: buffer.clone(), offset, size },
                        None => BufferSlice::whole(buffer),
                    }
                })
                .collect();
            dispatches.push(Dispatch {
                pipeline: prepared.pipelines[s].clone(),
                buffers,
                params_offset: prepared.starts[s],
                workgroups: step.workgroups,
                work: step.work,
            });
        }
        drop(encoding);
        let mut timings = vec![None; dispatches.len()];
        if !dispatches.is_empty() {
            if purpose.profile && self.measures() {
                timings = self.gpu.run_timed(&dispatches, &params)?;
            } else {
                self.gpu.run(&dispatches, &params)?;
            }
        }
        prepared.last.leaves = leaves.iter().map(Buffer::id).collect();
        prepared.last.outputs = outputs.iter().map(Buffer::id).collect();
        if purpose.validate {
            validate::compare(self, snap, &before, prepared.plan.outputs.iter().map(|(i, _)| *i).zip(&outputs))?;
        }
        for &leaf in prepared.plan.in_place.iter().flatten().filter(|leaf| given_up[**leaf]) {
            snap.leaves[leaf].0.give_up_value();
        }
        let values: Vec<Value> = outputs.into_iter().map(|buffer| Arc::new(buffer) as Value).collect();
        for (i, o) in &prepared.plan.values {
            if let Some(pending_checks) = all_pending_checks.get_mut(*i) {
                snap.nodes[*i].0.set_pending_checks(std::mem::take(pending_checks));
            }
            snap.nodes[*i].0.set_value(values[*o].clone());
        }
        snap.share_values();
        Ok(timings)
    }

    /// Puts copies instead of buffers that will be written over and that somebody else has.
    fn separate(&self, buffers: &mut [Buffer], shared: impl Iterator<Item = usize>) -> Result<()> {
        let shared: Vec<usize> = shared.collect();
        let copies = self.gpu.duplicates(&shared.iter().map(|&i| &buffers[i]).collect::<Vec<_>>())?;
        shared.into_iter().zip(copies).for_each(|(i, copy)| buffers[i] = copy);
        Ok(())
    }

    /// Numbers and slots for the checks of a flush.
    fn open(&self, snap: &Snapshot, tagged: &[usize], faults: &mut Faults) -> Result<Opened> {
        self.make_room(tagged.len(), faults)?;
        let opened = faults.open(snap, tagged);
        self.clear_stale(&opened.reports, faults)?;
        Ok(opened)
    }

    /// Waits until so many checks get slots of their own. Browsers cannot wait here, so there checks share a number where slots
    /// run out.
    fn make_room(&self, checks: usize, faults: &mut Faults) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        if !faults.has_room(checks) {
            let asked = faults.ask();
            let found = pollster::block_on(self.gpu.wait(asked.slots.clone()))?;
            faults.resolve(&asked, &found);
        }
        #[cfg(target_arch = "wasm32")]
        let _ = (checks, faults);
        Ok(())
    }

    /// Clears slots that hold an old fault.
    fn clear_stale(&self, reports: &[Report], faults: &mut Faults) -> Result<()> {
        let stale = faults.stale(reports);
        if !stale.is_empty() {
            self.gpu.clear_faults(&stale)?;
            faults.cleared(&stale);
        }
        Ok(())
    }

    /// Buffers for the values that outlive the flush, where possible those that the loop used before in their place. `replaced`
    /// has the buffer of the value that an output is the next one of.
    fn output_buffers(
        &self,
        prepared: &Prepared,
        leaves: &[Buffer],
        replaced: &[Option<BufferId>],
        partners: &mut Partners,
    ) -> Result<Vec<Buffer>> {
        let last = &prepared.last;
        let outputs = &prepared.plan.outputs;
        // An output of the last run that is a leaf now was updated; its predecessor's buffer is what comes next.
        let successor: HashMap<BufferId, BufferId> =
            leaves.iter().map(Buffer::id).zip(last.leaves.iter().copied()).collect();
        let of_last = |o: usize| last.outputs.get(o).map(|own| successor.get(own).copied().unwrap_or(*own));
        let partner = |o: usize| replaced[o].and_then(|old| partners.get(&old).copied());
        let in_place = |replaced: &Option<usize>| replaced.map(|leaf| leaves[leaf].clone());
        let mut chosen: Vec<Option<Buffer>> = prepared.plan.in_place.iter().map(in_place).collect();
        // Variables first: a value without a partner may lie anywhere.
        for preferred in [&partner as &dyn Fn(usize) -> Option<BufferId>, &of_last] {
            for (o, (_, bytes)) in outputs.iter().enumerate() {
                if let (None, Some(id)) = (&chosen[o], preferred(o)) {
                    chosen[o] = Some(self.gpu.alloc_preferring(*bytes, Some(id))?).filter(|b| b.id() == id);
                }
            }
        }
        let chosen = chosen.into_iter().zip(outputs).map(|(buffer, (_, bytes))| match buffer {
            Some(buffer) => Ok(buffer),
            None => self.gpu.alloc(*bytes),
        });
        let chosen: Vec<Buffer> = chosen.collect::<Result<_>>()?;
        if partners.len() > PARTNERS {
            partners.clear();
        }
        for (new, old) in chosen.iter().zip(replaced) {
            if let Some(old) = old.filter(|old| *old != new.id()) {
                partners.insert(old, new.id());
                partners.insert(new.id(), old);
            }
        }
        Ok(chosen)
    }

    /// Puts an array's elements into a buffer.
    pub fn upload(&self, array: &Array) -> Result<Value> {
        if array.dtype() == DType::F64 {
            return Err(Error::unsupported("from_slice", "GPU tensors cannot hold f64; use f32, or the CPU device"));
        }
        if array.dtype() == DType::F16 && !self.caps.f16 {
            return Err(Error::unsupported("from_slice", DType::NO_F16));
        }
        let bytes = array.to_bytes();
        let buffer = match self.gpu.upload(&bytes) {
            Err(Error::OutOfMemory { .. }) => {
                // The workspace is a cache; without it there may be room.
                self.trim();
                self.gpu.upload(&bytes)?
            }
            other => other?,
        };
        Ok(Arc::new(buffer) as Value)
    }

    /// Reads a computed node's elements.
    pub async fn read(&self, var: &Var) -> Result<Vec<u8>> {
        let buffer = buffer_of(var)?;
        let asked = lock(&self.state).faults.ask();
        let (bytes, found) = self.gpu.read(&buffer, 0, var.meta().bytes(), asked.slots.clone()).await?;
        let faults = &mut lock(&self.state).faults;
        faults.resolve(&asked, &found);
        faults.check(&var.0.pending_checks())?;
        Ok(bytes)
    }

    /// Whether index checks among these have not answered yet, or have failed.
    pub fn is_open(&self, pending_checks: &PendingChecks) -> bool {
        let resolved = lock(&self.state).faults.resolved();
        !pending_checks.after(resolved).is_empty()
    }

    /// Waits until index checks have answered.
    ///
    /// # Errors
    /// What one has found.
    pub fn answer(&self, pending_checks: &PendingChecks) -> Result<()> {
        if pending_checks.is_empty() {
            return Ok(());
        }
        let mut state = lock(&self.state);
        #[cfg(not(target_arch = "wasm32"))]
        {
            let asked = state.faults.ask();
            let found = pollster::block_on(self.gpu.wait(asked.slots.clone()))?;
            state.faults.resolve(&asked, &found);
        }
        state.faults.check(pending_checks)?;
        if cfg!(target_arch = "wasm32") && !pending_checks.after(state.faults.resolved()).is_empty() {
            let detail = "whether an index was out of range is not known yet, and a browser cannot block; await sync_async first";
            return Err(Error::unsupported("run", detail));
        }
        Ok(())
    }

    /// Waits for all work, and returns the first fault that nobody was told of.
    pub async fn wait(&self) -> Result<()> {
        let asked = lock(&self.state).faults.ask();
        let found = self.gpu.wait(asked.slots.clone()).await?;
        let faults = &mut lock(&self.state).faults;
        faults.resolve(&asked, &found);
        faults.tell()
    }

    /// Lets go of everything that only serves speed.
    pub fn forget(&self) {
        let plans = std::mem::take(&mut lock(&self.state).plans);
        drop(plans);
        self.gpu.forget_pipelines();
        self.trim();
    }

    /// Gives unused buffers back.
    pub fn trim(&self) {
        lock(&self.state).workspace.clear();
        self.gpu.trim();
    }
}

/// For each output of a plan, the buffer of the value that it is to replace in a variable, where it is one of the leaves.
fn replaced(snap: &Snapshot, plan: &Plan, leaves: &[Buffer]) -> Vec<Option<BufferId>> {
    let mut out = vec![None; plan.outputs.len()];
    for replacement in &snap.replaces {
        if let Ok(o) = plan.outputs.binary_search_by_key(&replacement.node, |(node, _)| *node) {
            out[o] = Some(leaves[replacement.leaf].id());
        }
    }
    out
}

/// The bits of a scalar node's value.
fn scalar_bits(var: &Var, dtype: DType) -> u32 {
    bits(var.scalar_value().unwrap_or(0.0), dtype)
}

fn buffer_of(var: &Var) -> Result<Buffer> {
    let value = var.0.value().and_then(|v| v.downcast::<Buffer>().ok());
    value
        .map(|b| (*b).clone())
        .ok_or_else(|| Error::internal(var.0.op.name(), "the value is not on this GPU").or_at(var.0.at))
}
