//! The kernels: which stored node joins which.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::decide::MAX_INSTRUCTIONS;
use super::emit::Emitter;
use super::{Fuser, Path, Role, fold};
use crate::error::{Error, Result};
use crate::graph::kernel::Combine;
use crate::ir::group::{Core, Group, Inst, Leaf, Producer, What};
use crate::ir::{EndReason, Source, StoreReason};
use crate::layout::View;
use crate::ops::elementwise;

/// Elements from which on a kernel of its own for a long epilogue costs less than many copies of it.
const LONG_EPILOGUE: usize = 64 << 10;
/// Elements from which on an update has a kernel of its own that writes in place, where it could be part of a product's kernel else, which
/// cannot.
const LARGE_UPDATE: usize = 128 << 10;
/// Statements of an epilogue that may be repeated: arithmetic and comparisons, but no exponential.
const MOST_STATEMENTS: usize = 8;

impl Fuser<'_> {
    /// Forms the kernels.
    pub(super) fn build(&mut self) -> Result<Vec<Group>> {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut group_of: HashMap<usize, usize> = HashMap::new();
        let mut given: HashMap<usize, usize> = HashMap::new();
        // The last kernel so far that reads an old value, which may be written over after it.
        let replaced: HashMap<usize, usize> = self.graph.replaces.iter().map(|r| (r.node, r.leaf)).collect();
        let mut readers: HashMap<usize, usize> = self.graph.replaces.iter().map(|r| (r.leaf, 0)).collect();
        for i in 0..self.graph.nodes.len() {
            if !self.stored[i] {
                continue;
            }
            let numel = self.graph.nodes[i].meta().numel();
            let is_core = matches!(self.role[i], Role::Reduce(_) | Role::Routine(_));
            let dependencies = self.dependencies(&self.operands(i));
            let kernel = self.decisions.map(|decisions| decisions.kernel[i]);
            let (home, why) = match (kernel, is_core, self.fuse) {
                (Some(kernel), ..) => (kernel.and_then(|kernel| given.get(&kernel).copied()), EndReason::Budget),
                (None, true, _) => (None, EndReason::Core),
                (None, false, false) => (None, EndReason::FusionOff),
                (None, false, true) => {
                    let after = replaced.get(&i).map(|leaf| readers.get(leaf).copied().unwrap_or(0));
                    self.find_home(i, numel, &dependencies, &drafts, &group_of, after)
                }
            };
            let home = home.unwrap_or_else(|| {
                drafts.push(Draft {
                    core: is_core.then_some(i),
                    members: Vec::new(),
                    numel,
                    size: 0,
                    reads: HashSet::new(),
                    ended: Vec::new(),
                });
                drafts.len() - 1
            });
            let mut makers: Vec<usize> = dependencies
                .iter()
                .filter_map(|(s, _)| if let Source::Pending(j) = s { group_of.get(j).copied() } else { None })
                .collect();
            makers.sort_unstable();
            makers.dedup();
            if let Some(kernel) = kernel {
                // Kernels that are given keep their members, or the plan is none.
                let late = makers.last().is_some_and(|&g| g > home);
                let Some(kernel) = kernel.filter(|_| !late) else { return Err(self.reordered(i)) };
                given.insert(kernel, home);
            }
            let latest = makers.last().copied();
            for g in makers.into_iter().filter(|&g| g != home) {
                // `find_home` speaks of the latest of the kernels whose results the node reads.
                let concerns_all = matches!(why, EndReason::Core | EndReason::FusionOff);
                let why = if concerns_all || Some(g) == latest { why } else { EndReason::Later };
                drafts[g].ended.push((why, i));
            }
            let draft = &mut drafts[home];
            draft.members.push(i);
            draft.size += self.size[i].max(1);
            draft.reads.extend(dependencies.iter().filter(|(s, _)| !self.is_virtual(*s)).cloned());
            for (source, _) in &dependencies {
                if let Source::Leaf(leaf) = source
                    && let Some(last) = readers.get_mut(leaf)
                {
                    *last = home.max(*last);
                }
            }
            group_of.insert(i, home);
        }
        drafts.iter().enumerate().map(|(g, draft)| self.finish(g, draft, &group_of)).collect()
    }

    /// Finds the values that nothing keeps from being written over the ones that they replace.
    pub(super) fn find_overwritten(&mut self) {
        if self.graph.replaces.is_empty() {
            return;
        }
        let mut readers: HashMap<usize, Vec<usize>> =
            self.graph.replaces.iter().map(|r| (r.leaf, Vec::new())).collect();
        for i in (0..self.graph.nodes.len()).filter(|&i| self.stored[i]) {
            for (source, path) in self.dependencies(&self.operands(i)) {
                let Source::Leaf(leaf) = source else { continue };
                let apart =
                    matches!(self.role[i], Role::Reduce(_) | Role::Routine(_)) || self.is_same_index(source, &path);
                if let Some(readers) = readers.get_mut(&leaf) {
                    // Another walk over the elements keeps the elementwise kernel that takes it from writing.
                    readers.push(if apart { i } else { usize::MAX });
                }
            }
        }
        for replacement in &self.graph.replaces {
            let node = replacement.node;
            let elementwise = self.stored[node] && matches!(self.role[node], Role::Elementwise(_) | Role::Copy(..));
            let last = readers[&replacement.leaf].iter().all(|&reader| reader <= node);
            if elementwise && self.keep[node] && last && self.graph.nodes[node].meta().numel() > 1 {
                self.over.insert(node, replacement.leaf);
            }
        }
    }

    /// The kernel that stored node `i` may join, and why it may not join the one that makes its latest input. With `after`, which is the
    /// last kernel that reads the value that the node's is to replace, none before that, and no large one that is built around an op.
    fn find_home(
        &self,
        i: usize,
        numel: usize,
        dependencies: &[(Source, Path)],
        drafts: &[Draft],
        group_of: &HashMap<usize, usize>,
        after: Option<usize>,
    ) -> (Option<usize>, EndReason) {
        let position = |source: &Source| match source {
            Source::Pending(j) if self.stored[*j] => group_of.get(j).copied(),
            _ => None,
        };
        let latest = dependencies.iter().filter_map(|(s, _)| position(s)).max();
        let obstacle = |g: usize| {
            let draft = &drafts[g];
            let joinable = match draft.core.map(|c| &self.role[c]) {
                Some(Role::Routine(routine)) => routine.as_ref().is_some_and(|r| r.fuses_epilogue()),
                _ => true,
            };
            if !joinable {
                Some(EndReason::NoEpilogue)
            } else if draft.numel != numel {
                Some(EndReason::IndexSpace)
            } else if draft.size + self.size[i] > MAX_INSTRUCTIONS {
                Some(EndReason::Instructions)
            } else if self.stores_at_many_places(draft) && numel >= LONG_EPILOGUE && self.length(i) > MOST_STATEMENTS {
                Some(EndReason::ManyStores)
            } else if after.is_some_and(|last| g < last || draft.core.is_some() && numel >= LARGE_UPDATE) {
                Some(EndReason::InPlace)
            } else if self.bindings(draft, i, dependencies, group_of, g) > self.budget {
                Some(EndReason::Buffers)
            } else {
                None
            }
        };
        let mut why = EndReason::IndexSpace;
        if let Some(g) = latest {
            let in_place = dependencies
                .iter()
                .filter(|(s, _)| position(s) == Some(g))
                .all(|(s, path)| self.is_same_index(*s, path));
            match obstacle(g) {
                None if in_place => return (Some(g), why),
                Some(obstacle) if in_place => why = obstacle,
                _ => {}
            }
        }
        // Horizontally: a kernel after every input that loads some of the same data.
        let first = latest.map_or(0, |g| g + 1).max(drafts.len().saturating_sub(32)).max(after.unwrap_or(0));
        let beside = (first..drafts.len()).find(|&g| {
            let shares = dependencies.iter().any(|d| drafts[g].reads.contains(d));
            shares && drafts[g].core.is_none() && obstacle(g).is_none()
        });
        (beside, why)
    }

    /// Whether a draft repeats its epilogue at many places, and the device suffers from that: the caches of a CPU core do not hold dozens of
    /// copies, and the driver compiles each. GPUs gain more from not storing and loading the values.
    fn stores_at_many_places(&self, draft: &Draft) -> bool {
        let routine = draft.core.map(|core| &self.role[core]);
        let repeats = matches!(routine, Some(Role::Routine(Some(routine))) if routine.stores_at_many_places());
        repeats && !self.caps.policy().fuses_at_many_places
    }

    /// Statements of the functions that evaluating node `i` calls.
    fn length(&self, i: usize) -> usize {
        let own = if let Role::Elementwise(kernel) = &self.role[i] { elementwise::length(&kernel.function) } else { 0 };
        let operands = self.operands(i);
        let computed = operands.iter().filter(|(source, _)| self.is_virtual(*source));
        own + computed
            .map(|(source, _)| if let Source::Pending(j) = source { self.length(*j) } else { 0 })
            .sum::<usize>()
    }

    /// Whether `path` leaves every element at its row-major index.
    pub(super) fn is_same_index(&self, source: Source, path: &[View]) -> bool {
        let meta = self.graph.var(source).meta();
        fold(&meta.shape, path).is_some_and(|l| l.is_contiguous() && l.shape.numel() == meta.numel())
    }

    /// Storage buffers that a draft would bind with node `extra` in it.
    fn bindings(
        &self,
        draft: &Draft,
        extra: usize,
        dependencies: &[(Source, Path)],
        group_of: &HashMap<usize, usize>,
        g: usize,
    ) -> usize {
        let inside = |j: usize| j == extra || group_of.get(&j) == Some(&g);
        let mut reads = draft.reads.clone();
        reads.extend(dependencies.iter().filter(|(s, _)| !self.is_virtual(*s)).cloned());
        reads.retain(|(s, _)| !matches!(s, Source::Pending(j) if inside(*j)));
        let shares = |m: &usize| {
            draft.core.is_none()
                && self.over.get(m).is_some_and(|leaf| reads.iter().any(|(source, _)| *source == Source::Leaf(*leaf)))
        };
        let members = draft.members.iter().chain([&extra]);
        let writes = members.filter(|m| self.leaves_kernel(**m, &inside) && !shares(m)).count();
        // The last stage of a reduction binds partial results in place of what was reduced; those of arg reductions are two.
        // A routine may bind a scratch buffer and that of index errors.
        let more = match draft.core.map(|core| &self.role[core]) {
            Some(Role::Routine(_)) => 2,
            Some(Role::Reduce(reduce)) => usize::from(matches!(reduce.combine, Combine::ArgMax | Combine::ArgMin)),
            _ => 0,
        };
        reads.len() + writes.max(1) + more
    }

    /// Whether a member's value is needed outside the kernel that `inside` describes.
    fn leaves_kernel(&self, member: usize, inside: &dyn Fn(usize) -> bool) -> bool {
        if let Some(decisions) = self.decisions {
            return decisions.written[member];
        }
        self.keep[member]
            || self.consumers[member]
                .iter()
                .any(|&c| if self.stored[c] { !inside(c) } else { self.leaves_kernel(c, inside) })
    }

    fn reordered(&self, i: usize) -> Error {
        Error::internal(self.graph.nodes[i].0.op.name(), "its kernel would have to run before what it reads")
    }

    /// Prints a draft into a group.
    fn finish(&mut self, g: usize, draft: &Draft, group_of: &HashMap<usize, usize>) -> Result<Group> {
        let inside = |j: usize| group_of.get(&j) == Some(&g);
        let mut emitter = Emitter::new(Some(g), group_of);
        let mut ops = Vec::new();
        let core = match draft.core {
            None => Core::Elementwise,
            Some(node) => {
                let dtype = self.graph.nodes[node].dtype();
                emitter.body.code.push(Inst { what: What::Result, dtype });
                emitter.memo.insert((node, Path::new()), 0);
                self.core(node, group_of, &mut ops)?
            }
        };
        let mut outputs = Vec::new();
        for &member in &draft.members {
            let value = if draft.core == Some(member) { 0 } else { emitter.compute(self, member, &[]) };
            emitter.memo.insert((member, Path::new()), value);
            if self.leaves_kernel(member, &inside) {
                outputs.push((value, member));
            }
        }
        for i in emitter.computed {
            if !ops.contains(&i) {
                ops.push(i);
            }
        }
        let reason = |&(_, node): &(usize, usize)| (node, self.reason[node].unwrap_or(StoreReason::Result));
        Ok(Group {
            core,
            body: emitter.body,
            stored: outputs.iter().map(reason).collect(),
            outputs,
            in_place: Vec::new(),
            numel: draft.numel,
            members: draft.members.clone(),
            ops,
            ended: draft.ended.clone(),
        })
    }

    /// What the kernel is built around; `ops` gets the nodes that it computes.
    fn core(&mut self, node: usize, group_of: &HashMap<usize, usize>, ops: &mut Vec<usize>) -> Result<Core> {
        let operands = self.operands(node);
        if let Role::Reduce(reduce) = &self.role[node] {
            let mut emitter = Emitter::new(None, group_of);
            let (source, path) = &operands[0];
            let shape = self.graph.var(self.graph.inputs[node][0]).shape().clone();
            let value = emitter.read(self, *source, path, &shape);
            ops.extend(emitter.computed);
            ops.push(node);
            return Ok(Core::Reduce { node, reduce: reduce.clone(), body: emitter.body, value });
        }
        let mut producers = Vec::with_capacity(operands.len());
        for (source, _) in &operands {
            let producer = self.is_virtual(*source).then(|| {
                let mut emitter = Emitter::new(None, group_of);
                let value = emitter.read(self, *source, &[], self.graph.var(*source).shape());
                ops.extend(emitter.computed);
                Producer { body: emitter.body, value }
            });
            producers.push(producer);
        }
        ops.push(node);
        let inputs = operands
            .iter()
            .map(|(source, path)| {
                let meta = self.graph.var(*source).meta();
                let layout = fold(&meta.shape, path).ok_or_else(|| self.too_many_buffers(node))?;
                Ok(Leaf { source: *source, layout, dtype: meta.dtype })
            })
            .collect::<Result<Vec<_>>>()?;
        match &mut self.role[node] {
            Role::Routine(routine) => match routine.take() {
                Some(routine) => Ok(Core::Routine { node, routine, inputs, producers }),
                None => Err(Error::internal("schedule", "a routine was scheduled twice")),
            },
            _ => Err(Error::internal("schedule", "only reductions and routines are cores")),
        }
    }
}

/// A kernel under construction.
struct Draft {
    core: Option<usize>,
    members: Vec<usize>,
    numel: usize,
    size: usize,
    /// What it loads: a buffer seen through two paths may need two bindings.
    reads: HashSet<(Source, Path)>,
    ended: Vec<(EndReason, usize)>,
}
