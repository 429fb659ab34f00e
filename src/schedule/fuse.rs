//! Fusion: which values are stored, which are computed inside the kernels that use them, and which kernels there are.
//!
//! 1. Views are resolved: every input is a base (a leaf or a node that computes something) seen through a path of views.
//! 2. In topological order each elementwise node is made *virtual* (computed again by whoever reads it) or *stored*.
//!    Stored are: what must outlive the flush, operands of routines, values that several kernels read and that are dear
//!    to recompute, values that would be recomputed many times under an expand, and whatever would burst a kernel's
//!    budget of buffers or instructions.
//! 3. In topological order each stored node joins the kernel that produces its latest input, or one that reads the same
//!    data, or starts its own. A kernel's position in the list is its place in the execution order, so a node may join
//!    only if all its other inputs come from earlier positions.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::graph::kernel::{Elementwise, Kernel, Reduce, Routine};
use crate::layout::{Layout, View};
use crate::schedule::group::{Core, Group, Inst, Leaf, What};
use crate::schedule::reason::{EndReason, StoreReason};
use crate::schedule::snapshot::{Snapshot, Source};

mod emit;

use emit::Emitter;

/// Instructions that one kernel may hold; long chains are cut here, since drivers compile in superlinear time.
const MAX_INSTRUCTIONS: usize = 128;
/// Elementwise work (elements times instructions) below which recomputing is cheaper than one more dispatch.
const RECOMPUTE_WORK: usize = 200_000;
/// A value that several kernels read is recomputed if it takes at most this many instructions and buffers.
const RECOMPUTE_INSTRUCTIONS: usize = 4;
const RECOMPUTE_BUFFERS: usize = 2;

/// A chain of views from a base to where it is read, base first.
type Path = Vec<View>;

/// How a pending node takes part.
enum Role {
    /// A value that travels as a parameter.
    Scalar,
    /// Another walk over a base.
    View,
    Elementwise(Elementwise),
    /// Materialises a base seen through a path, in row-major order.
    Copy(Source, Path),
    /// Materialises the scalar at this position.
    Fill(usize),
    Reduce(Reduce),
    Routine(Option<Box<dyn Routine>>),
}

/// The planner's working state.
struct Fuser<'a> {
    snap: &'a Snapshot,
    role: Vec<Role>,
    /// Base and path of each node: itself for all but views.
    resolved: Vec<(Source, Path)>,
    /// Distinct consumers (not views) of each node, through views.
    consumers: Vec<Vec<usize>>,
    keep: Vec<bool>,
    stored: Vec<bool>,
    /// Why each stored node is.
    reason: Vec<Option<StoreReason>>,
    /// Instructions it takes to evaluate a virtual node.
    size: Vec<usize>,
    budget: usize,
    fuse: bool,
}

/// Decides what is stored and forms the kernels, in execution order.
///
/// `budget` is the number of storage buffers that one kernel may bind. With `fuse` off every op is its own kernel.
///
/// # Errors
/// Where one op alone needs more buffers than the budget.
pub fn groups(snap: &Snapshot, budget: usize, fuse: bool) -> Result<(Vec<Group>, Vec<bool>)> {
    let mut fuser = Fuser::new(snap, budget, fuse);
    fuser.decide()?;
    let groups = fuser.build()?;
    Ok((groups, fuser.keep))
}

/// The layout of a row-major array of `shape` seen through `path`; `None` where strides cannot express it.
fn fold(shape: &crate::shape::Shape, path: &[View]) -> Option<Layout> {
    path.iter().try_fold(Layout::contiguous(shape.clone()), |layout, view| layout.view(view))
}

impl<'a> Fuser<'a> {
    fn new(snap: &'a Snapshot, budget: usize, fuse: bool) -> Fuser<'a> {
        let n = snap.nodes.len();
        let mut fuser = Fuser {
            snap,
            role: Vec::with_capacity(n),
            resolved: Vec::with_capacity(n),
            consumers: vec![Vec::new(); n],
            keep: vec![false; n],
            stored: vec![false; n],
            reason: vec![None; n],
            size: vec![0; n],
            budget,
            fuse,
        };
        for i in 0..n {
            fuser.classify(i);
        }
        for i in 0..n {
            fuser.note_uses(i);
        }
        fuser
    }

    fn classify(&mut self, i: usize) {
        let keep = self.snap.keep[i];
        let (role, resolved) = match self.snap.nodes[i].0.kernel() {
            // A data node has its value from the start, so it is never pending; a scalar is stored only if asked for.
            Kernel::Scalar(_) | Kernel::Data => {
                let role = if keep.root { Role::Fill(i) } else { Role::Scalar };
                (role, (Source::Pending(i), Path::new()))
            }
            Kernel::View(view) => {
                let (base, mut path) = self.resolve(self.snap.inputs[i][0]);
                path.push(view);
                let expressible = self.is_scalar(base) || fold(self.snap.var(base).shape(), &path).is_some();
                if expressible && !keep.root {
                    (Role::View, (base, path))
                } else {
                    if !expressible {
                        // A reshape that strides cannot express keeps the row-major order, so the copy reads in that order.
                        path.pop();
                    }
                    (Role::Copy(base, path), (Source::Pending(i), Path::new()))
                }
            }
            Kernel::Elementwise(kernel) => (Role::Elementwise(kernel), (Source::Pending(i), Path::new())),
            Kernel::Reduce(reduce) => (Role::Reduce(reduce), (Source::Pending(i), Path::new())),
            Kernel::Routine(routine) => (Role::Routine(Some(routine)), (Source::Pending(i), Path::new())),
        };
        self.role.push(role);
        self.resolved.push(resolved);
    }

    /// Notes who reads what, and which values must outlive the flush.
    fn note_uses(&mut self, i: usize) {
        let keep = self.snap.keep[i];
        if let Role::View = self.role[i] {
            if let (true, Source::Pending(base)) = (keep.held, self.resolved[i].0) {
                self.keep[base] |= !matches!(self.role[base], Role::Scalar);
            }
            return;
        }
        self.keep[i] |= keep.root || (keep.held && !matches!(self.role[i], Role::Scalar));
        let is_routine = matches!(self.role[i], Role::Routine(_));
        for source in self.snap.inputs[i].clone() {
            let (base, _) = self.resolve(source);
            let Source::Pending(base) = base else { continue };
            if is_routine && self.is_scalar(Source::Pending(base)) {
                // A routine binds buffers, so the scalar (or the view of it) becomes one.
                if let Source::Pending(input) = source {
                    self.role[input] = Role::Fill(base);
                    self.resolved[input] = (source, Path::new());
                    self.consumers[input].push(i);
                }
                continue;
            }
            if self.consumers[base].last() != Some(&i) {
                self.consumers[base].push(i);
            }
        }
    }

    fn resolve(&self, source: Source) -> (Source, Path) {
        match source {
            Source::Pending(i) => self.resolved[i].clone(),
            Source::Leaf(_) => (source, Path::new()),
        }
    }

    fn is_scalar(&self, source: Source) -> bool {
        matches!(source, Source::Pending(i) if matches!(self.role[i], Role::Scalar))
    }

    /// The inputs of node `i` as bases and paths. A copy reads what it views.
    fn operands(&self, i: usize) -> Vec<(Source, Path)> {
        match &self.role[i] {
            Role::Fill(_) => Vec::new(),
            Role::Copy(base, path) => vec![(*base, path.clone())],
            role => {
                let shape = self.snap.nodes[i].shape();
                let spreads = matches!(role, Role::Elementwise(_)) && shape.rank() > 0;
                let resolve = |&source: &Source| {
                    let (base, mut path) = self.resolve(source);
                    // A scalar beside operands of any shape that has become data (somebody read it).
                    if spreads && self.snap.var(source).shape().rank() == 0 && !self.is_scalar(base) {
                        path.push(View::Expand(shape.clone()));
                    }
                    (base, path)
                };
                self.snap.inputs[i].iter().map(resolve).collect()
            }
        }
    }

    /// Whether the node is evaluated by its readers.
    fn is_virtual(&self, source: Source) -> bool {
        matches!(source, Source::Pending(i)
            if !self.stored[i] && matches!(self.role[i], Role::Elementwise(_) | Role::Copy(..) | Role::Fill(_)))
    }

    /// The stored bases that evaluating `operands` loads from, with the path to each; the index space of a generator
    /// counts as a base that is itself.
    fn dependencies(&self, operands: &[(Source, Path)]) -> Vec<(Source, Path)> {
        let mut out = Vec::new();
        let mut seen = HashSet::new();
        let mut stack = operands.to_vec();
        while let Some((source, path)) = stack.pop() {
            if self.is_scalar(source) || !seen.insert((source, path.clone())) {
                continue;
            }
            match source {
                Source::Pending(i) if self.is_virtual(source) => {
                    if self.is_generator(i) {
                        out.push((source, path.clone()));
                    }
                    for (base, mut inner) in self.operands(i) {
                        inner.extend(path.iter().cloned());
                        stack.push((base, inner));
                    }
                }
                _ => out.push((source, path)),
            }
        }
        out
    }

    fn is_generator(&self, i: usize) -> bool {
        matches!(&self.role[i], Role::Elementwise(kernel) if kernel.index)
    }

    fn expressible(&self, (source, path): &(Source, Path)) -> bool {
        fold(self.snap.var(*source).shape(), path).is_some()
    }

    /// Decides for every node whether it is stored.
    fn decide(&mut self) -> Result<()> {
        // Storing a value changes what its earlier readers load, so this goes on until nothing changes. The stored values
        // only ever grow in number, so it ends.
        loop {
            let before = self.stored.iter().filter(|s| **s).count();
            self.decide_once()?;
            if self.stored.iter().filter(|s| **s).count() == before {
                break;
            }
        }
        for i in 0..self.stored.len() {
            // What is in memory anyway is kept for a backward pass still to come.
            let awaited = |j: usize| self.snap.keep[j].awaits_backward;
            let dear = matches!(self.role[i], Role::Reduce(_) | Role::Routine(_));
            let read_by_awaited = dear && self.consumers[i].iter().any(|&c| awaited(c));
            self.keep[i] |= self.stored[i] && (awaited(i) || read_by_awaited);
        }
        Ok(())
    }

    fn decide_once(&mut self) -> Result<()> {
        for i in 0..self.snap.nodes.len() {
            match self.role[i] {
                Role::Scalar | Role::View => continue,
                Role::Routine(_) => {
                    for (source, _) in self.operands(i) {
                        self.store(source);
                    }
                    self.mark(i, StoreReason::Result);
                }
                Role::Reduce(_) => {
                    self.fit(i, self.budget - 1)?;
                    self.mark(i, StoreReason::Result);
                }
                Role::Elementwise(_) | Role::Copy(..) | Role::Fill(_) => {
                    self.fit(i, self.budget - 1)?;
                    if let Some(reason) = self.must_store(i) {
                        self.mark(i, reason);
                    }
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, source: Source) {
        if self.is_virtual(source)
            && let Source::Pending(i) = source
        {
            self.mark(i, StoreReason::Operand);
        }
    }

    /// Stores node `i`; the first reason is the one that counts, but for what the user sees.
    fn mark(&mut self, i: usize, reason: StoreReason) {
        self.stored[i] = true;
        let keep = self.snap.keep[i];
        let seen = if keep.root { Some(StoreReason::Asked) } else { self.keep[i].then_some(StoreReason::Held) };
        self.reason[i].get_or_insert(seen.unwrap_or(reason));
    }

    /// Stores inputs of node `i` until what remains virtual can be evaluated within the budgets.
    fn fit(&mut self, i: usize, buffers: usize) -> Result<()> {
        loop {
            let operands = self.operands(i);
            let mut virtuals: Vec<usize> = operands
                .iter()
                .filter(|(source, _)| self.is_virtual(*source))
                .filter_map(|(source, _)| if let Source::Pending(j) = source { Some(*j) } else { None })
                .collect();
            virtuals.sort_unstable();
            virtuals.dedup();
            let dependencies = self.dependencies(&operands);
            let size = 1 + virtuals.iter().map(|&j| self.size[j]).sum::<usize>();
            let bound = dependencies.iter().filter(|(s, _)| !self.is_virtual(*s)).count();
            if let Some(bad) = dependencies.iter().find(|d| !self.expressible(d)) {
                // The reader's view cannot be pushed down to this base: store the operand on the way to it.
                let culprit = virtuals.iter().copied().find(|&j| {
                    let through =
                        operands.iter().filter(|(s, _)| *s == Source::Pending(j)).cloned().collect::<Vec<_>>();
                    self.dependencies(&through).contains(bad)
                });
                match culprit {
                    Some(j) => self.mark(j, StoreReason::View),
                    None => return Err(self.too_many_buffers(i)),
                }
                continue;
            }
            if size <= MAX_INSTRUCTIONS / 2 && bound <= buffers {
                self.size[i] = size;
                return Ok(());
            }
            match virtuals.iter().copied().max_by_key(|&j| (self.buffers(j), self.size[j])) {
                Some(j) if bound > buffers => self.mark(j, StoreReason::Buffers),
                Some(j) => self.mark(j, StoreReason::Instructions),
                None => return Err(self.too_many_buffers(i)),
            }
        }
    }

    fn too_many_buffers(&self, i: usize) -> Error {
        let node = &self.snap.nodes[i].0;
        let detail = format!("the op reads more buffers than the {} that a kernel may bind", self.budget - 1);
        Error::unsupported(node.op.name(), detail).or_at(node.at)
    }

    /// Buffers that evaluating virtual node `j` loads from.
    fn buffers(&self, j: usize) -> usize {
        let bases: HashSet<Source> =
            self.dependencies(&self.operands(j)).into_iter().map(|(s, _)| s).filter(|s| !self.is_virtual(*s)).collect();
        bases.len()
    }

    fn must_store(&self, i: usize) -> Option<StoreReason> {
        // A copy changes the index space, so a reader's view cannot be pushed through it.
        let is_copy = matches!(self.role[i], Role::Copy(..) | Role::Fill(_));
        let plain = [
            (is_copy, StoreReason::Copy),
            (self.keep[i], StoreReason::Held),
            (!self.fuse, StoreReason::FusionOff),
            (self.consumers[i].is_empty(), StoreReason::Unread),
        ];
        if let Some((_, reason)) = plain.into_iter().find(|(applies, _)| *applies) {
            return Some(reason);
        }
        let numel = self.snap.nodes[i].meta().numel();
        let mut evaluations = 0usize;
        for &c in &self.consumers[i] {
            if matches!(self.role[c], Role::Routine(_)) {
                return Some(StoreReason::Operand);
            }
            let space = match &self.role[c] {
                Role::Reduce(_) => self.snap.var(self.snap.inputs[c][0]).meta().numel(),
                _ => self.snap.nodes[c].meta().numel(),
            };
            if space > numel {
                evaluations += space;
            }
        }
        if evaluations.saturating_mul(self.size[i]) > RECOMPUTE_WORK && self.buffers(i) > 0 {
            return Some(StoreReason::Expanded);
        }
        let dear = self.consumers[i].len() > 1
            && (self.size[i] > RECOMPUTE_INSTRUCTIONS || self.buffers(i) > RECOMPUTE_BUFFERS)
            && numel * self.size[i] > RECOMPUTE_WORK / 10;
        dear.then_some(StoreReason::Shared)
    }

    /// Forms the kernels.
    fn build(&mut self) -> Result<Vec<Group>> {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut group_of: HashMap<usize, usize> = HashMap::new();
        for i in 0..self.snap.nodes.len() {
            if !self.stored[i] {
                continue;
            }
            let numel = self.snap.nodes[i].meta().numel();
            let is_core = matches!(self.role[i], Role::Reduce(_) | Role::Routine(_));
            let dependencies = self.dependencies(&self.operands(i));
            let (home, why) = match (is_core, self.fuse) {
                (true, _) => (None, EndReason::Core),
                (false, false) => (None, EndReason::FusionOff),
                (false, true) => self.find_home(i, numel, &dependencies, &drafts, &group_of),
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
            group_of.insert(i, home);
        }
        drafts.iter().enumerate().map(|(g, draft)| self.finish(g, draft, &group_of)).collect()
    }

    /// The kernel that stored node `i` may join, and why it may not join the one that makes its latest input.
    fn find_home(
        &self,
        i: usize,
        numel: usize,
        dependencies: &[(Source, Path)],
        drafts: &[Draft],
        group_of: &HashMap<usize, usize>,
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
        let first = latest.map_or(0, |g| g + 1).max(drafts.len().saturating_sub(32));
        let beside = (first..drafts.len()).find(|&g| {
            let shares = dependencies.iter().any(|d| drafts[g].reads.contains(d));
            shares && drafts[g].core.is_none() && obstacle(g).is_none()
        });
        (beside, why)
    }

    /// Whether `path` leaves every element at its row-major index.
    fn is_same_index(&self, source: Source, path: &[View]) -> bool {
        let meta = self.snap.var(source).meta();
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
        let writes = draft.members.iter().chain([&extra]).filter(|&&m| self.leaves_kernel(m, &inside)).count();
        // A split routine or reduction also binds its scratch buffer; count one for it.
        reads.len() + writes.max(1) + usize::from(draft.core.is_some())
    }

    /// Whether a member's value is needed outside the kernel that `inside` describes.
    fn leaves_kernel(&self, member: usize, inside: &dyn Fn(usize) -> bool) -> bool {
        self.keep[member]
            || self.consumers[member]
                .iter()
                .any(|&c| if self.stored[c] { !inside(c) } else { self.leaves_kernel(c, inside) })
    }

    /// Prints a draft into a group.
    fn finish(&mut self, g: usize, draft: &Draft, group_of: &HashMap<usize, usize>) -> Result<Group> {
        let inside = |j: usize| group_of.get(&j) == Some(&g);
        let mut emitter = Emitter::new(Some(g), group_of);
        let mut ops = Vec::new();
        let core = match draft.core {
            None => Core::Elementwise,
            Some(node) => {
                let dtype = self.snap.nodes[node].dtype();
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
            let shape = self.snap.var(self.snap.inputs[node][0]).shape().clone();
            let value = emitter.read(self, *source, path, &shape);
            ops.extend(emitter.computed);
            ops.push(node);
            return Ok(Core::Reduce { node, reduce: reduce.clone(), body: emitter.body, value });
        }
        ops.push(node);
        let inputs = operands
            .iter()
            .map(|(source, path)| {
                let meta = self.snap.var(*source).meta();
                let layout = fold(&meta.shape, path).ok_or_else(|| self.too_many_buffers(node))?;
                Ok(Leaf { source: *source, layout, dtype: meta.dtype })
            })
            .collect::<Result<Vec<_>>>()?;
        match &mut self.role[node] {
            Role::Routine(routine) => match routine.take() {
                Some(routine) => Ok(Core::Routine { node, routine, inputs }),
                None => Err(Error::argument("schedule", "a routine was scheduled twice")),
            },
            _ => Err(Error::argument("schedule", "only reductions and routines are cores")),
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
