//! Runs plans on a GPU.

mod replay;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::array::Array;
use crate::backend::faults::Faults;
use crate::backend::validate;
use crate::caps::Caps;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::{Binding, Buffer, BufferId, BufferSlice, Dispatch, Gpu, KernelSource, Pipeline};
use crate::graph::node::lock;
use crate::graph::{Value, Var};
use crate::ops::scalar::bits;
use crate::schedule::memory::Place;
use crate::schedule::{BufferRef, ParamSource, Plan, Snapshot, Step};

pub use replay::GpuProgram;

/// Plans that are kept; the one unused for longest goes first.
const PLANS: usize = 256;

/// The backend of a GPU adapter.
pub struct GpuBackend {
    pub gpu: Gpu,
    /// What kernels are chosen by: the adapter's capabilities, or others in tests.
    caps: Caps,
    fuse: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plans: HashMap<u128, Prepared>,
    clock: u64,
    /// Buffers that all plans share for values that do not outlive a flush. One queue runs all flushes in order.
    workspace: HashMap<Place, Buffer>,
    faults: Faults,
}

/// A plan with what it takes to run it.
struct Prepared {
    plan: Plan,
    pipelines: Vec<Arc<Pipeline>>,
    /// The parameter block with everything but scalars and tags filled in, and where each step's part starts.
    params: Vec<u8>,
    starts: Vec<u32>,
    /// Positions of the nodes whose kernels check indices.
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
        GpuBackend { gpu, caps, fuse, state: Mutex::default() }
    }

    /// What kernels are chosen by.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Computes what `targets` and the held nodes among `also` need.
    pub fn flush(&self, targets: &[Var], also: &[Var]) -> Result<()> {
        let mut state = lock(&self.state);
        let snap = Snapshot::new(targets, also, u64::from(self.fuse));
        if snap.nodes.is_empty() {
            return Ok(());
        }
        let state = &mut *state;
        state.clock += 1;
        let reused = state.plans.contains_key(&snap.hash);
        if !reused {
            let prepared = self.prepare(&snap)?;
            if state.plans.len() >= PLANS
                && let Some(oldest) = state.plans.iter().min_by_key(|(_, p)| p.used).map(|(k, _)| *k)
            {
                state.plans.remove(&oldest);
            }
            state.plans.insert(snap.hash, prepared);
        }
        self.gpu.count_plan(reused);
        let Some(prepared) = state.plans.get_mut(&snap.hash) else {
            return Err(Error::argument("flush", "a plan vanished"));
        };
        prepared.used = state.clock;
        let outcome = self.execute(&snap, prepared, &mut state.workspace, &mut state.faults);
        if let Err(Error::OutOfMemory { .. }) = outcome {
            // The workspace is a cache; without it there may be room.
            state.workspace.clear();
            self.gpu.trim();
            return self.execute(&snap, prepared, &mut state.workspace, &mut state.faults);
        }
        outcome
    }

    /// Plans a snapshot and compiles its kernels.
    fn prepare(&self, snap: &Snapshot) -> Result<Prepared> {
        let plan = Plan::new(snap, &self.caps, self.fuse)?;
        let debug = crate::env::get().debug;
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
        let pipelines = plan.steps.iter().map(|step| self.pipeline(step, snap)).collect::<Result<Vec<_>>>()?;
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
        let tagged =
            params_of.filter_map(|p| if let ParamSource::Tag { node } = p { Some(*node) } else { None }).collect();
        Ok(Prepared { plan, pipelines, params, starts, tagged, used: 0, last: Last::default() })
    }

    fn pipeline(&self, step: &Step, snap: &Snapshot) -> Result<Arc<Pipeline>> {
        let kernel = &step.kernel;
        if crate::env::get().debug >= 4 {
            log::info!("{}:\n{}", kernel.name, kernel.wgsl);
        } else if crate::env::get().debug >= 3 {
            let lines: Vec<String> = step.members.iter().map(|&m| snap.nodes[m].0.at.to_string()).collect();
            log::info!("{}: {} ops from {}", kernel.name, step.members.len(), lines.join(", "));
        }
        self.gpu.pipeline(kernel.key, || KernelSource {
            name: kernel.name.clone(),
            wgsl: kernel.wgsl.clone(),
            bindings: kernel.writable.iter().map(|&w| if w { Binding::ReadWrite } else { Binding::Read }).collect(),
            params_bytes: kernel.params_bytes,
            checks_indices: kernel.checks_indices,
            trusted: kernel.trusted,
        })
    }

    fn execute(
        &self,
        snap: &Snapshot,
        prepared: &mut Prepared,
        workspace: &mut HashMap<Place, Buffer>,
        faults: &mut Faults,
    ) -> Result<()> {
        let leaves = snap.leaves.iter().map(buffer_of).collect::<Result<Vec<_>>>()?;
        let outputs = self.output_buffers(prepared, &leaves)?;
        for place in &prepared.plan.places {
            if !workspace.contains_key(place) {
                workspace.insert(*place, self.gpu.alloc(place.bytes)?);
            }
        }
        let spans = faults.open(snap, &prepared.tagged);
        let mut params = prepared.params.clone();
        let mut dispatches = Vec::with_capacity(prepared.plan.steps.len());
        for (s, step) in prepared.plan.steps.iter().enumerate() {
            let start = prepared.starts[s] as usize;
            for (p, source) in step.params.iter().enumerate() {
                let bits = match source {
                    ParamSource::Const(_) => continue,
                    ParamSource::Scalar { node, dtype } => scalar_bits(&snap.nodes[*node], *dtype),
                    ParamSource::Tag { node } => faults.tag(snap, *node),
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
                        BufferRef::Place(p) => &workspace[&prepared.plan.places[*p]],
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
        if !dispatches.is_empty() {
            self.gpu.run(&dispatches, &params)?;
        }
        prepared.last.leaves = leaves.iter().map(Buffer::id).collect();
        prepared.last.outputs = outputs.iter().map(Buffer::id).collect();
        if crate::env::get().validate {
            validate::compare(self, snap, &leaves, prepared.plan.outputs.iter().map(|(i, _)| *i).zip(&outputs))?;
        }
        for ((i, _), buffer) in prepared.plan.outputs.iter().zip(outputs) {
            snap.nodes[*i].0.set_doubt(spans[*i]);
            snap.nodes[*i].0.set_value(Arc::new(buffer) as Value);
        }
        snap.nodes.iter().for_each(Var::settle);
        Ok(())
    }

    /// Buffers for the values that outlive the flush, where possible those that the loop used before in their place.
    fn output_buffers(&self, prepared: &Prepared, leaves: &[Buffer]) -> Result<Vec<Buffer>> {
        let last = &prepared.last;
        let outputs = &prepared.plan.outputs;
        // An output of the last run that is a leaf now was updated; its predecessor's buffer is what comes next.
        let successor: HashMap<BufferId, BufferId> =
            leaves.iter().map(Buffer::id).zip(last.leaves.iter().copied()).collect();
        let preferred: Vec<Option<BufferId>> = (0..outputs.len())
            .map(|o| last.outputs.get(o).map(|own| successor.get(own).copied().unwrap_or(*own)))
            .collect();
        let mut chosen: Vec<Option<Buffer>> = Vec::with_capacity(outputs.len());
        for ((_, bytes), preferred) in outputs.iter().zip(&preferred) {
            let buffer = match preferred {
                Some(id) => Some(self.gpu.alloc_preferring(*bytes, Some(*id))?).filter(|b| b.id() == *id),
                None => None,
            };
            chosen.push(buffer);
        }
        chosen
            .into_iter()
            .zip(outputs)
            .map(|(buffer, (_, bytes))| match buffer {
                Some(buffer) => Ok(buffer),
                None => self.gpu.alloc(*bytes),
            })
            .collect()
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
        let submitted = lock(&self.state).faults.last();
        let (bytes, fault) = self.gpu.read(&buffer, 0, var.meta().bytes()).await?;
        let faults = &mut lock(&self.state).faults;
        faults.settle(fault, submitted)?;
        faults.check(var.0.doubt())?;
        Ok(bytes)
    }

    /// Waits for all work.
    pub async fn wait(&self) -> Result<()> {
        let submitted = lock(&self.state).faults.last();
        let fault = self.gpu.wait().await?;
        lock(&self.state).faults.settle(fault, submitted)
    }

    /// Lets go of everything that only serves speed.
    pub fn trim(&self) {
        lock(&self.state).workspace.clear();
        self.gpu.trim();
    }
}

/// The bits of a scalar node's value.
fn scalar_bits(var: &Var, dtype: DType) -> u32 {
    bits(var.scalar_value().unwrap_or(0.0), dtype)
}

fn buffer_of(var: &Var) -> Result<Buffer> {
    let value = var.0.value().and_then(|v| v.downcast::<Buffer>().ok());
    value
        .map(|b| (*b).clone())
        .ok_or_else(|| Error::argument(var.0.op.name(), "the value is not on this GPU").or_at(var.0.at))
}
