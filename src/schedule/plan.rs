//! A plan: the dispatches of a flush, ready to run again on any data of the same structure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::caps::{Caps, size_class};
use crate::codegen::{self, Bound, KernelText};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::schedule::fuse;
use crate::schedule::group::Group;
use crate::schedule::memory::{self, Lifetime, Place};
use crate::schedule::reason::{EndReason, StoreReason};
use crate::schedule::snapshot::{Snapshot, Source};
use crate::schedule::wide;

pub use crate::codegen::ParamSource;

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferRef {
    /// The value of the leaf at this position.
    Leaf(usize),
    /// A value that the flush leaves behind: position in [`Plan::outputs`].
    Output(usize),
    /// A place in the workspace: position in [`Plan::places`].
    Place(usize),
}

/// One dispatch.
pub struct Step {
    pub kernel: Arc<KernelText>,
    pub buffers: Vec<BufferRef>,
    /// Parts that are bound in place of whole buffers: offset and size in bytes. Empty where all are bound whole.
    pub windows: Vec<Option<(u64, u64)>>,
    pub params: Vec<ParamSource>,
    pub workgroups: u64,
    /// Bytes touched at least.
    pub work: u64,
    /// Position in [`Plan::clusters`] of what the kernel computes.
    pub cluster: usize,
    /// Bytes of the elements that it reads and writes, each once.
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Arithmetic operations, where known.
    pub flops: Option<u64>,
}

/// The ops that are computed together, in one kernel or in a few that belong together.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The name of its last kernel.
    pub name: String,
    /// Positions of the nodes that it computes.
    pub ops: Vec<usize>,
    /// Positions of the nodes whose values it leaves in memory, and why.
    pub stored: Vec<(usize, StoreReason)>,
    /// Why consumers did not join, with the position of the consumer.
    pub ended: Vec<(EndReason, usize)>,
}

/// What computing a tensor takes, known before anything is run; from [`Tensor::plan`](crate::Tensor::plan).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PlanSummary {
    /// Names of the kernels in order, one a dispatch. On the CPU reference, the ops.
    pub kernels: Vec<String>,
    /// Their WGSL; empty on the CPU reference.
    pub shaders: Vec<String>,
    /// How many kernels are run.
    pub dispatches: usize,
    /// Bytes of the workspace: what is alive during the run only.
    pub workspace: u64,
    /// The least that any assignment of the workspace needs.
    pub lower_bound: u64,
    /// Bytes of the values that the run leaves behind, as allocated.
    pub outputs: u64,
    /// Bytes of the computed values that it reads, as allocated.
    pub leaves: u64,
    /// The most memory that the run needs at once, as allocated (buffers come in sizes of four an octave): workspace,
    /// what it leaves behind and what it reads.
    pub peak_bytes: u64,
}

impl std::fmt::Display for PlanSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { dispatches, workspace, outputs, leaves, peak_bytes, .. } = self;
        let s = if *dispatches == 1 { "" } else { "s" };
        writeln!(
            f,
            "{dispatches} kernel{s}, peak {peak_bytes} bytes: reads {leaves}, leaves {outputs}, workspace {workspace}"
        )?;
        self.kernels.iter().enumerate().try_for_each(|(i, name)| writeln!(f, "{:>4}  {name}", i + 1))
    }
}

/// Everything that a flush of one structure does.
pub struct Plan {
    pub steps: Vec<Step>,
    /// Nodes whose values outlive the flush: (position, bytes).
    pub outputs: Vec<(usize, u64)>,
    /// Workspace places in use.
    pub places: Vec<Place>,
    /// Bytes of the workspace.
    pub workspace: u64,
    /// Bytes alive at once at least, workspace only.
    pub lower_bound: u64,
    pub clusters: Vec<Cluster>,
}

impl Plan {
    /// Plans a snapshot for a device.
    ///
    /// # Errors
    /// Where an op cannot run on the device at its size.
    pub fn new(snap: &Snapshot, caps: &Caps, fuse: bool) -> Result<Plan> {
        // Eight storage buffers are what every WebGPU device binds; one of them may be the index-fault buffer.
        let budget = caps.max_storage_buffers.min(8) as usize - 1;
        let (mut groups, keep) = fuse::groups(snap, budget, fuse)?;
        if fuse {
            groups = wide::widen(groups, snap, caps);
        }
        let mut steps = Vec::new();
        // Values in the order of their making, each with its lifetime in steps.
        let mut values: Vec<(Key, Lifetime)> = Vec::new();
        let mut index_of: HashMap<Key, usize> = HashMap::new();
        let mut bounds: Vec<Vec<Key>> = Vec::new();
        let mut clusters = Vec::with_capacity(groups.len());
        for (g, group) in groups.iter().enumerate() {
            let calls = codegen::generate(group, snap, caps)?;
            clusters.push(Cluster {
                name: calls.calls.last().map(|call| call.kernel.name.clone()).unwrap_or_default(),
                ops: group.ops.clone(),
                stored: group.stored.clone(),
                ended: group.ended.clone(),
            });
            for call in calls.calls {
                if call.workgroups == 0 {
                    continue;
                }
                let step = steps.len();
                let mut own = Vec::with_capacity(call.bound.len());
                for bound in &call.bound {
                    let bound = match *bound {
                        Bound::Source(source) => Key::Source(source),
                        Bound::Scratch(k) => Key::Scratch(g, k),
                    };
                    own.push(bound);
                    let bytes = match bound {
                        Key::Source(Source::Leaf(_)) => continue,
                        Key::Source(Source::Pending(i)) => snap.nodes[i].meta().bytes(),
                        Key::Scratch(_, k) => calls.scratch[k],
                    };
                    let slot = *index_of.entry(bound).or_insert_with(|| {
                        values.push((bound, Lifetime { bytes, first: step, last: step }));
                        values.len() - 1
                    });
                    values[slot].1.last = step;
                }
                bounds.push(own);
                check_binding_sizes(&bounds[step], &call.windows, snap, &calls.scratch, caps, group)?;
                let (bytes_read, bytes_written) = traffic(&call, group, snap, &calls.scratch);
                steps.push(Step {
                    kernel: call.kernel,
                    buffers: Vec::new(),
                    windows: call.windows,
                    params: call.params,
                    workgroups: call.workgroups,
                    work: call.work,
                    cluster: g,
                    bytes_read,
                    bytes_written,
                    flops: call.flops,
                });
            }
        }
        let outputs: Vec<(usize, u64)> =
            (0..snap.nodes.len()).filter(|&i| keep[i]).map(|i| (i, snap.nodes[i].meta().bytes())).collect();
        let output_of: HashMap<usize, usize> = outputs.iter().enumerate().map(|(o, (i, _))| (*i, o)).collect();
        let transient: Vec<usize> = (0..values.len())
            .filter(|&v| !matches!(values[v].0, Key::Source(Source::Pending(i)) if output_of.contains_key(&i)))
            .collect();
        let lifetimes: Vec<Lifetime> = transient.iter().map(|&v| values[v].1).collect();
        let assigned = memory::assign(&lifetimes);
        let mut places: Vec<Place> = Vec::new();
        let mut place_of: HashMap<Key, usize> = HashMap::new();
        for (&v, place) in transient.iter().zip(&assigned) {
            let p = places.iter().position(|p| p == place).unwrap_or_else(|| {
                places.push(*place);
                places.len() - 1
            });
            place_of.insert(values[v].0, p);
        }
        for (step, own) in steps.iter_mut().zip(&bounds) {
            step.buffers = own
                .iter()
                .map(|bound| match bound {
                    Key::Source(Source::Leaf(l)) => Ok(BufferRef::Leaf(*l)),
                    Key::Source(Source::Pending(i)) if output_of.contains_key(i) => Ok(BufferRef::Output(output_of[i])),
                    other => place_of
                        .get(other)
                        .map(|&p| BufferRef::Place(p))
                        .ok_or_else(|| Error::argument("plan", "a buffer has no place")),
                })
                .collect::<Result<Vec<_>>>()?;
        }
        Ok(Plan {
            steps,
            outputs,
            workspace: memory::workspace_bytes(&assigned),
            lower_bound: memory::lower_bound(&lifetimes),
            places,
            clusters,
        })
    }

    /// The plan in figures.
    pub fn summary(&self, snap: &Snapshot) -> PlanSummary {
        // Aliases share their storage.
        let read: HashSet<usize> = self
            .steps
            .iter()
            .flat_map(|step| &step.buffers)
            .filter_map(|buffer| if let BufferRef::Leaf(l) = buffer { Some(*l) } else { None })
            .collect();
        let storage: HashMap<*const (), u64> = read
            .into_iter()
            .filter_map(|l| Some((Arc::as_ptr(&snap.leaves[l].0.value()?).cast(), snap.leaves[l].meta().bytes())))
            .collect();
        let leaves = storage.values().copied().map(size_class).sum();
        let outputs = self.outputs.iter().map(|(_, bytes)| size_class(*bytes)).sum();
        PlanSummary {
            kernels: self.steps.iter().map(|s| s.kernel.name.clone()).collect(),
            shaders: self.steps.iter().map(|s| s.kernel.wgsl.clone()).collect(),
            dispatches: self.steps.len(),
            workspace: self.workspace,
            lower_bound: self.lower_bound,
            outputs,
            leaves,
            peak_bytes: leaves + outputs + self.workspace,
        }
    }
}

/// Bytes that a call reads and writes, each element once.
fn traffic(call: &codegen::Call, group: &Group, snap: &Snapshot, scratch: &[u64]) -> (u64, u64) {
    let leaves = group.leaves();
    let walked = |source: Source| {
        let walks = leaves.iter().filter(|leaf| leaf.source == source);
        walks.map(|leaf| distinct(&leaf.layout) * leaf.dtype.size() as u64).reduce(u64::saturating_add)
    };
    let (mut read, mut written) = (0u64, 0u64);
    let mut seen = HashSet::new();
    for (i, bound) in call.bound.iter().enumerate() {
        if !seen.insert(*bound) {
            continue;
        }
        let all = match bound {
            Bound::Source(source) => snap.var(*source).meta().bytes(),
            Bound::Scratch(k) => scratch[*k],
        };
        let bytes = match (call.windows.get(i).copied().flatten(), bound) {
            (Some((offset, size)), _) => size.min(all.saturating_sub(offset)),
            (None, Bound::Source(source)) => walked(*source).map_or(all, |bytes| bytes.min(all)),
            (None, Bound::Scratch(_)) => all,
        };
        *(if call.kernel.writable[i] { &mut written } else { &mut read }) += bytes;
    }
    (read, written)
}

/// Elements that a layout reaches: dims of stride 0 repeat the same ones.
fn distinct(layout: &Layout) -> u64 {
    let dims = layout.shape.iter().zip(&layout.strides);
    dims.map(|(&size, &stride)| if stride == 0 { size.min(1) as u64 } else { size as u64 }).product()
}

/// A buffer, unique in the plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Source(Source),
    /// Scratch buffer of a group.
    Scratch(usize, usize),
}

fn check_binding_sizes(
    bounds: &[Key],
    windows: &[Option<(u64, u64)>],
    snap: &Snapshot,
    scratch: &[u64],
    caps: &Caps,
    group: &Group,
) -> Result<()> {
    for (i, bound) in bounds.iter().enumerate() {
        let in_windows = windows.get(i).is_some_and(Option::is_some);
        let limit = if in_windows { caps.max_buffer } else { caps.max_binding };
        let bytes = match bound {
            Key::Source(source) => snap.var(*source).meta().bytes(),
            Key::Scratch(_, k) => scratch[*k],
        };
        if bytes > limit {
            let node = &snap.nodes[group.members[0]].0;
            return Err(Error::TooLarge { op: node.op.name().into(), bytes, limit, at: node.at.into() });
        }
    }
    Ok(())
}
