//! A plan: the dispatches of a flush, ready to run again on any data of the same structure.
//!
//! [`memory`] assigns the workspace; [`recompute`] keeps to a memory budget; [`picture`] draws plans.

pub mod memory;
pub mod picture;
mod recompute;

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use crate::caps::{Caps, GRAIN, PANELS, panel_bytes, size_class};
use crate::codegen::{self, Bound, KernelText};
use crate::error::{At, Error, Result};
use crate::fuse::groups::{self, Fused};
use crate::fuse::{Decisions, horizontal, in_place, merge, row_fusion};
use crate::ir::group::{Core, Group};
use crate::ir::{Dag, EndReason, Merged, Snapshot, Source, StoreReason};
use crate::layout::Layout;
use crate::plan::memory::{Lifetime, Search};

/// Arithmetic operations that take about as long as moving a byte: a software adapter does as many; GPUs do more.
const FLOPS_PER_BYTE: u64 = 8;

pub use crate::codegen::ParamSource;

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferRef {
    /// The value of the leaf at this position.
    Leaf(usize),
    /// A value that the flush leaves behind: position in [`Plan::outputs`].
    Output(usize),
    /// A buffer of the workspace, bound in part: position in [`Plan::workspace_buffers`].
    Workspace(usize),
}

/// One dispatch.
pub struct Step {
    pub kernel: Arc<KernelText>,
    pub buffers: Vec<BufferRef>,
    /// Parts that are bound in place of whole buffers: offset and size in bytes. Empty where all are bound whole.
    pub windows: Vec<Option<(u64, u64)>>,
    pub params: Vec<ParamSource>,
    pub workgroups: u64,
    /// Bytes touched at least, or the arithmetic that takes as long: submissions are split by the sum.
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
///
/// ```
/// use wgrad::{Device, PlanSummary, Tensor};
/// let x = Tensor::ones([256], &Device::gpu()?);
/// let plan: PlanSummary = (x.exp() + 1.0).plan()?;
/// assert_eq!((plan.dispatches, plan.outputs), (1, 1024));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PlanSummary {
    /// Names of the kernels in order, one per dispatch. On the CPU reference, the ops.
    pub kernels: Vec<String>,
    /// Their WGSL; empty on the CPU reference.
    pub shaders: Vec<String>,
    /// How many kernels are run.
    pub dispatches: usize,
    /// Ops that are not computed, because another op computes the same value.
    pub merged: usize,
    /// Values that are computed again to keep to the memory budget.
    pub recomputed: usize,
    /// Bytes of the workspace: what is alive during the run only, packed operands of matrix products included.
    pub workspace: u64,
    /// The least that any assignment of the workspace needs.
    pub lower_bound: u64,
    /// Bytes of the values that the run leaves behind, as allocated.
    pub outputs: u64,
    /// Bytes of the computed values that it reads, as allocated.
    pub leaves: u64,
    /// The most memory that the run needs at once, as allocated (buffers come in sizes of four per octave): workspace,
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
    /// The leaf that each of these is written over, where it is.
    pub in_place: Vec<Option<usize>>,
    /// Every node that has a value afterwards, with the position of that value in [`Plan::outputs`]: nodes that compute the same share
    /// one.
    pub values: Vec<(usize, usize)>,
    /// Bytes of the workspace's buffers, the largest first.
    pub workspace_buffers: Vec<u64>,
    /// Bytes of the workspace's buffers together.
    pub workspace: u64,
    /// Texels of the device's panels that the kernels use.
    pub panels: [u64; PANELS],
    /// Bytes alive at once at least, workspace only.
    pub lower_bound: u64,
    pub clusters: Vec<Cluster>,
    /// Nodes that compute the value of an earlier one, and are not computed.
    pub merged: usize,
    /// Stored values that are computed again to keep to the memory budget.
    pub recomputed: usize,
}

/// A plan, and what deciding on another one takes.
struct Built {
    pub plan: Plan,
    /// Nodes whose values live in the workspace, and when.
    pub lives: Vec<(usize, Lifetime)>,
    /// Bytes of the workspace in use at each step.
    pub alive: Vec<u64>,
    /// Which nodes are computed once, not by each of their readers.
    pub stored: Vec<bool>,
    /// Nodes whose values are left behind.
    pub outputs: HashSet<usize>,
    pub groups: Vec<Timed>,
}

/// What a group reads, and when.
struct Timed {
    /// Its first step.
    pub first: usize,
    /// The position of the first node that is part of it.
    pub start: usize,
    /// Those that it computes once, not as part of others.
    pub members: Vec<usize>,
    /// Those members by kernel, where it is made of several that walk over the same rows; and those whose values stay in it.
    pub kernels: Vec<Vec<usize>>,
    pub inner: Vec<usize>,
    pub reads: HashSet<usize>,
    pub writes: Vec<usize>,
}

impl Timed {
    fn new(group: &Group, first: usize) -> Timed {
        let pending = |source: Source| if let Source::Pending(i) = source { Some(i) } else { None };
        Timed {
            first,
            start: group.members.iter().min().copied().unwrap_or(0),
            members: group.members.clone(),
            kernels: group.kernels(),
            inner: group.inner(),
            reads: group.leaves().into_iter().filter_map(|leaf| pending(leaf.source)).collect(),
            writes: group.outputs.iter().map(|(_, node)| *node).collect(),
        }
    }
}

impl Plan {
    /// Plans a snapshot for a device; with a `budget` such that the run needs at most so many bytes at once, as
    /// [`PlanSummary::peak_bytes`] counts them. Beside the plan the graph whose positions it names.
    ///
    /// # Errors
    /// Where an op cannot run on the device at its size, and [`Error::OverBudget`].
    pub fn new(snap: &Snapshot, caps: &Caps, fuse: bool, budget: Option<u64>) -> Result<(Plan, Merged)> {
        let graph = if fuse { merge::merge(snap, caps) } else { Merged::without_duplicates((**snap).clone()) };
        let built = Plan::build(&graph, None, caps, fuse, Search::Thorough)?;
        let mut plan = match budget {
            Some(budget) if built.plan.fixed_bytes(&graph) + built.plan.workspace > budget => {
                recompute::fit(&graph, caps, fuse, budget, built)?
            }
            _ => built.plan,
        };
        let output = |node: usize| plan.outputs.binary_search_by_key(&node, |(i, _)| *i).ok();
        let value = |i: usize| Some((i, output(i).or_else(|| output(graph.representative(i)?))?));
        plan.values = (0..graph.nodes.len()).filter_map(value).collect();
        Ok((plan, graph))
    }

    /// Plans a graph as it is.
    fn build(graph: &Merged, decisions: Option<&Decisions>, caps: &Caps, fuse: bool, search: Search) -> Result<Built> {
        for (over, spare) in [(true, 0), (false, 0), (false, 3), (false, usize::MAX)] {
            if let Some(built) = Plan::build_with(graph, decisions, caps, fuse, search, over, spare)? {
                return Ok(built);
            }
        }
        Err(Error::argument("plan", "a kernel binds more buffers than the device has"))
    }

    /// [`Plan::build`], where values that replace others count as written `over` those, and horizontal fusion leaves so many buffers `spare`;
    /// `None` where that comes out otherwise, and a kernel binds too many buffers.
    fn build_with(
        graph: &Merged,
        decisions: Option<&Decisions>,
        caps: &Caps,
        fuse: bool,
        search: Search,
        over: bool,
        spare: usize,
    ) -> Result<Option<Built>> {
        // Eight storage buffers are what every WebGPU device binds.
        let budget = caps.max_storage_buffers.min(8) as usize;
        let Fused { mut groups, keep, stored } = groups::groups(graph, decisions, budget, fuse, over, caps)?;
        if fuse {
            let caps = caps.of_reductions();
            groups = row_fusion::chain(groups, &keep, graph, decisions, &caps, budget)?;
            let workgroups: Vec<_> = groups.iter().map(|group| codegen::workgroup_of(group, graph, &caps)).collect();
            groups = horizontal::fuse(groups, &workgroups, graph, &caps, spare);
        }
        in_place::decide(&mut groups, graph, &keep);
        let mut steps = Vec::new();
        // Values in the order of their making, each with its lifetime in steps.
        let mut values: Vec<(Key, Lifetime)> = Vec::new();
        let mut index_of: HashMap<Key, usize> = HashMap::new();
        let mut bounds: Vec<Vec<Key>> = Vec::new();
        let mut clusters = Vec::with_capacity(groups.len());
        let mut timed = Vec::with_capacity(groups.len());
        let mut panels = [0; PANELS];
        for (g, group) in groups.iter().enumerate() {
            timed.extend(group.parts().map(|part| Timed::new(part, steps.len())));
            let calls = codegen::generate(group, graph, caps)?;
            panels.iter_mut().zip(calls.panels).for_each(|(most, own)| *most = own.max(*most));
            clusters.push(Cluster {
                name: calls.calls.last().map(|call| call.kernel.name.clone()).unwrap_or_default(),
                ops: group.ops.clone(),
                stored: group.stored.clone(),
                ended: group.ended.clone(),
            });
            for call in calls.calls {
                let own =
                    if matches!(group.core, Core::Horizontal(_)) { caps.max_storage_buffers as usize } else { budget };
                if over && call.bound.len() > own {
                    return Ok(None);
                }
                // In horizontal fusion, a buffer that some read by fours and others one by one is bound twice, and index checks bind one more.
                let bound = call.bound.len() + usize::from(call.kernel.checks_indices);
                if matches!(group.core, Core::Horizontal(_)) && bound > caps.max_storage_buffers as usize {
                    return Ok(None);
                }
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
                        Key::Source(Source::Pending(i)) => graph.nodes[i].meta().bytes(),
                        Key::Scratch(_, k) => calls.scratch[k],
                    };
                    let slot = *index_of.entry(bound).or_insert_with(|| {
                        values.push((bound, Lifetime { bytes, first: step, last: step }));
                        values.len() - 1
                    });
                    values[slot].1.last = step;
                }
                bounds.push(own);
                check_binding_sizes(&bounds[step], &call.windows, graph, &calls.scratch, caps, group)?;
                let (bytes_read, bytes_written) = traffic(&call, group, graph, &calls.scratch);
                steps.push(Step {
                    kernel: call.kernel,
                    buffers: Vec::new(),
                    windows: call.windows,
                    params: call.params,
                    workgroups: call.workgroups,
                    work: call.work.max(call.flops.unwrap_or(0) / FLOPS_PER_BYTE),
                    cluster: g,
                    bytes_read,
                    bytes_written,
                    flops: call.flops,
                });
            }
        }
        let outputs: Vec<(usize, u64)> =
            (0..graph.nodes.len()).filter(|&i| keep[i]).map(|i| (i, graph.nodes[i].meta().bytes())).collect();
        let replaced: HashMap<usize, usize> = groups
            .iter()
            .flat_map(|group| group.parts().flat_map(|part| &part.in_place))
            .map(|replacement| (replacement.node, replacement.leaf))
            .collect();
        let in_place = outputs.iter().map(|(i, _)| replaced.get(i).copied()).collect();
        let output_of: HashMap<usize, usize> = outputs.iter().enumerate().map(|(o, (i, _))| (*i, o)).collect();
        let transient: Vec<usize> = (0..values.len())
            .filter(|&v| !matches!(values[v].0, Key::Source(Source::Pending(i)) if output_of.contains_key(&i)))
            .collect();
        let lifetimes: Vec<Lifetime> = transient.iter().map(|&v| values[v].1).collect();
        let rank: HashMap<Key, usize> = transient.iter().enumerate().map(|(t, &v)| (values[v].0, t)).collect();
        let assigned = memory::assign(&lifetimes, &conflicts(&steps, &bounds, &rank), caps.max_buffer, search);
        for (step, own) in steps.iter_mut().zip(&bounds) {
            step.buffers = own
                .iter()
                .map(|bound| match bound {
                    Key::Source(Source::Leaf(l)) => Ok(BufferRef::Leaf(*l)),
                    Key::Source(Source::Pending(i)) if output_of.contains_key(i) => Ok(BufferRef::Output(output_of[i])),
                    other => rank
                        .get(other)
                        .map(|&t| BufferRef::Workspace(assigned.regions[t].buffer))
                        .ok_or_else(|| Error::internal("plan", "a buffer is in no region of the workspace")),
                })
                .collect::<Result<Vec<_>>>()?;
            if own.iter().any(|key| rank.contains_key(key)) {
                let part = |(i, key): (usize, &Key)| {
                    let window = step.windows.get(i).copied().flatten();
                    let Some(&t) = rank.get(key) else { return window };
                    let whole = (0, lifetimes[t].bytes.max(1).next_multiple_of(GRAIN));
                    let (offset, size) = window.unwrap_or(whole);
                    Some((assigned.regions[t].offset + offset, size))
                };
                step.windows = own.iter().enumerate().map(part).collect();
            }
        }
        let of_nodes = transient.iter().zip(&lifetimes);
        let lives = of_nodes.filter_map(|(&v, life)| match values[v].0 {
            Key::Source(Source::Pending(i)) => Some((i, *life)),
            _ => None,
        });
        let lives: Vec<(usize, Lifetime)> = lives.collect();
        let alive = memory::alive(&lifetimes);
        let kept = outputs.iter().map(|(i, _)| *i).collect();
        let merged = (0..graph.nodes.len())
            .filter(|&i| graph.representative(i).is_some() && decisions.is_none_or(|given| given.copied[i].is_none()))
            .count();
        let plan = Plan {
            steps,
            outputs,
            values: Vec::new(),
            in_place,
            workspace: assigned.bytes(),
            panels,
            lower_bound: memory::lower_bound(&lifetimes),
            workspace_buffers: assigned.buffers,
            merged,
            recomputed: 0,
            clusters,
        };
        Ok(Some(Built { plan, lives, alive, stored, outputs: kept, groups: timed }))
    }

    /// Bytes that are needed whatever the order: what the run reads and leaves behind, as allocated.
    pub fn fixed_bytes(&self, dag: &Dag) -> u64 {
        let (leaves, outputs) = self.leaves_and_outputs(dag);
        leaves + outputs + self.panel_bytes()
    }

    /// Bytes of the panels.
    fn panel_bytes(&self) -> u64 {
        self.panels.iter().copied().map(panel_bytes).sum()
    }

    /// Bytes that the run reads, and those that it leaves behind, as allocated.
    fn leaves_and_outputs(&self, dag: &Dag) -> (u64, u64) {
        // Aliases share their storage.
        let read: HashSet<usize> = self
            .steps
            .iter()
            .flat_map(|step| &step.buffers)
            .filter_map(|buffer| if let BufferRef::Leaf(l) = buffer { Some(*l) } else { None })
            .collect();
        let storage: HashMap<*const (), u64> = read
            .into_iter()
            .filter_map(|l| Some((Arc::as_ptr(&dag.leaves[l].0.value()?).cast(), dag.leaves[l].meta().bytes())))
            .collect();
        let leaves = storage.values().copied().map(size_class).sum();
        let outputs = self.outputs.iter().zip(&self.in_place).filter(|(_, replaced)| replaced.is_none());
        (leaves, outputs.map(|((_, bytes), _)| size_class(*bytes)).sum())
    }

    /// Names nodes by their positions in the snapshot without copies.
    fn rename(&mut self, origin: &[usize]) {
        for param in self.steps.iter_mut().flat_map(|step| &mut step.params) {
            match param {
                ParamSource::Const(_) => {}
                ParamSource::Scalar { node, .. }
                | ParamSource::Tag { node }
                | ParamSource::Slot { node }
                | ParamSource::Gate { node, .. } => *node = origin[*node],
            }
        }
        let mut stored = HashSet::new();
        self.outputs.iter_mut().for_each(|(node, _)| *node = origin[*node]);
        for cluster in &mut self.clusters {
            cluster.ops.iter_mut().for_each(|node| *node = origin[*node]);
            cluster.stored.iter_mut().for_each(|(node, _)| *node = origin[*node]);
            cluster.ended.iter_mut().for_each(|(_, node)| *node = origin[*node]);
            self.recomputed += cluster.stored.iter().filter(|(node, _)| !stored.insert(*node)).count();
        }
    }

    /// The plan in figures.
    pub fn summary(&self, dag: &Dag) -> PlanSummary {
        let (leaves, outputs) = self.leaves_and_outputs(dag);
        PlanSummary {
            kernels: self.steps.iter().map(|s| s.kernel.name.clone()).collect(),
            shaders: self.steps.iter().map(|s| s.kernel.needed()).collect(),
            dispatches: self.steps.len(),
            merged: self.merged,
            recomputed: self.recomputed,
            workspace: self.workspace + self.panel_bytes(),
            lower_bound: self.lower_bound + self.panel_bytes(),
            outputs,
            leaves,
            peak_bytes: leaves + outputs + self.workspace + self.panel_bytes(),
        }
    }
}

/// Bytes that a call reads and writes, each element once.
fn traffic(call: &codegen::Call, group: &Group, graph: &Merged, scratch: &[u64]) -> (u64, u64) {
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
            Bound::Source(source) => graph.var(*source).meta().bytes(),
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

/// Which values of the workspace a kernel reads while it writes others.
fn conflicts(steps: &[Step], bounds: &[Vec<Key>], rank: &HashMap<Key, usize>) -> memory::Conflicts {
    let mut out = memory::Conflicts::new();
    for (step, own) in steps.iter().zip(bounds) {
        let access: Vec<(usize, bool)> = own
            .iter()
            .zip(&step.kernel.writable)
            .filter_map(|(key, &writes)| Some((*rank.get(key)?, writes)))
            .collect();
        for &(a, writes) in &access {
            let others = access.iter().filter(|&&(b, written)| writes != written && a != b);
            out.extend(others.map(|&(b, _)| (a.min(b), a.max(b))));
        }
    }
    out
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
    graph: &Merged,
    scratch: &[u64],
    caps: &Caps,
    group: &Group,
) -> Result<()> {
    for (i, bound) in bounds.iter().enumerate() {
        let in_windows = windows.get(i).is_some_and(Option::is_some);
        let limit = if in_windows { caps.max_buffer } else { caps.max_binding };
        let bytes = match bound {
            Key::Source(source) => graph.var(*source).meta().bytes(),
            Key::Scratch(_, k) => scratch[*k],
        };
        if bytes > limit {
            let node = &graph.nodes[group.members[0]].0;
            return Err(Error::TooLarge { op: node.op.name().into(), bytes, limit, at: At(None) }.or_at(node.at));
        }
    }
    Ok(())
}
