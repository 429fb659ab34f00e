//! Fusion: which values are stored, which are computed inside the kernels that use them, and which kernels there are.
//!
//! 1. Views are resolved: every input is a base (a leaf or a node that computes something) seen through a path of views.
//! 2. In topological order each elementwise node is made *virtual* (computed again by whoever reads it) or *stored*.
//!    Stored are: what must outlive the flush, operands of routines (but for cheap ones that the routine loads once, as a
//!    matrix product does that packs them), values that several kernels read and that are dear to recompute, values that
//!    would be recomputed many times under an expand, and whatever would burst a kernel's budget of buffers or
//!    instructions.
//! 3. In topological order each stored node joins the kernel that produces its latest input, or one that reads the same
//!    data, or starts its own. A kernel's position in the list is its place in the execution order, so a node may join
//!    only if all its other inputs come from earlier positions.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use smallvec::SmallVec;

use crate::caps::Caps;
use crate::error::Result;
use crate::fuse::{Decisions, plain};
use crate::graph::kernel::{Elementwise, Kernel, Reduce, Routine};
use crate::ir::group::Group;
use crate::ir::{Keep, Merged, Source, StoreReason};
use crate::layout::{Layout, View};

mod build;
mod decide;

pub use decide::{MAX_INSTRUCTIONS, RECOMPUTE_WORK};

mod emit;

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
    graph: &'a Merged,
    /// What a plan within a memory budget takes over from the plan before.
    decisions: Option<&'a Decisions>,
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
    caps: &'a Caps,
    /// How often routines load each element of their operands, where those may be computed in place.
    loads: HashMap<usize, Vec<Option<usize>>>,
    /// The leaf that a node's value will be written over, where that is sure enough to count the two as one buffer.
    over: HashMap<usize, usize>,
}

/// Decides what is stored and forms the kernels, in execution order.
///
/// `budget` is the number of storage buffers that one kernel may bind on a device of `caps`. With `fuse` off every op is its own
/// kernel. With `over`, a value that will most likely be written over the one that it replaces shares its buffer with it; where that turns
/// out otherwise, a kernel binds more than the budget, and has to be planned without.
///
/// # Errors
/// Where one op alone needs more buffers than the budget.
pub fn groups(
    graph: &Merged,
    decisions: Option<&Decisions>,
    budget: usize,
    fuse: bool,
    over: bool,
    caps: &Caps,
) -> Result<Fused> {
    let mut fuser = Fuser::new(graph, decisions, budget, fuse, caps);
    fuser.decide()?;
    if over {
        fuser.find_overwritten();
    }
    let groups = fuser.build()?;
    Ok(Fused { groups, keep: fuser.keep, stored: fuser.stored })
}

/// What [`groups`] decided.
pub struct Fused {
    /// The kernels, in execution order.
    pub groups: Vec<Group>,
    /// Which nodes' values outlive the flush.
    pub keep: Vec<bool>,
    /// Which nodes are computed once, not by each of their readers.
    pub stored: Vec<bool>,
}

/// The layout of a row-major array of `shape` seen through `path`; `None` where strides cannot express it.
fn fold(shape: &crate::shape::Shape, path: &[View]) -> Option<Layout> {
    path.iter().try_fold(Layout::contiguous(shape.clone()), |layout, view| layout.view(view))
}

impl<'a> Fuser<'a> {
    fn new(
        graph: &'a Merged,
        decisions: Option<&'a Decisions>,
        budget: usize,
        fuse: bool,
        caps: &'a Caps,
    ) -> Fuser<'a> {
        let n = graph.nodes.len();
        let mut fuser = Fuser {
            graph,
            decisions,
            role: Vec::with_capacity(n),
            resolved: Vec::with_capacity(n),
            consumers: vec![Vec::new(); n],
            keep: vec![false; n],
            stored: vec![false; n],
            reason: vec![None; n],
            size: vec![0; n],
            budget,
            fuse,
            caps,
            loads: HashMap::new(),
            over: HashMap::new(),
        };
        for i in 0..n {
            fuser.classify(i);
        }
        for i in (0..n).filter(|&i| graph.is_needed(i)) {
            fuser.note_uses(i);
        }
        fuser
    }

    fn classify(&mut self, i: usize) {
        let keep = self.graph.keep[i];
        let kernel = self.graph.kernel_of(i);
        if let Some(representative) = self.graph.representative(i) {
            // A value of its own is needed only where it was asked for; whoever else keeps it shares the first one's.
            let (base, path) = self.resolve(Source::Pending(representative));
            let (role, resolved) = if keep.root {
                (Role::Copy(base, path), (Source::Pending(i), Path::new()))
            } else {
                (Role::View, (base, path))
            };
            self.role.push(role);
            self.resolved.push(resolved);
            return;
        }
        let (role, resolved) = match kernel {
            // A data node has its value from the start, so it is never pending; a scalar is stored only if asked for.
            Kernel::Scalar(_) | Kernel::Data => {
                let role = if keep.root { Role::Fill(i) } else { Role::Scalar };
                (role, (Source::Pending(i), Path::new()))
            }
            Kernel::View(view) => {
                let (base, mut path) = self.resolve(self.graph.inputs[i][0]);
                // Names change nothing, and a value under two of them is one buffer.
                if !matches!(view, View::Identity) {
                    path.push(view);
                }
                let expressible = self.is_scalar(base) || fold(self.graph.var(base).shape(), &path).is_some();
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
            Kernel::Routine(routine) => {
                let routine = plain::routine(self.graph.nodes[i].0.op.name(), routine, self.caps);
                (Role::Routine(Some(routine)), (Source::Pending(i), Path::new()))
            }
        };
        self.role.push(role);
        self.resolved.push(resolved);
    }

    /// Notes who reads what, and which values must outlive the flush.
    fn note_uses(&mut self, i: usize) {
        let keep = self.graph.keep[i];
        // What is computed again takes the same part as before, but outlives nothing.
        let keep = if self.is_copy(i) { Keep { root: false, held: false, ..keep } } else { keep };
        if let Role::View = self.role[i] {
            if let Source::Pending(base) = self.resolved[i].0 {
                let dear = matches!(self.role[base], Role::Reduce(_) | Role::Routine(_));
                let awaited = keep.awaits_backward && dear && self.graph.representative(i).is_some();
                self.keep[base] |= (keep.held || awaited) && !matches!(self.role[base], Role::Scalar);
            }
            return;
        }
        self.keep[i] |= keep.root || (keep.held && !matches!(self.role[i], Role::Scalar));
        let is_routine = matches!(self.role[i], Role::Routine(_));
        let representative = self.graph.representative(i).map(Source::Pending);
        let sources: SmallVec<[Source; 3]> = match representative {
            Some(representative) => SmallVec::from_slice(&[representative]),
            None => self.graph.inputs[i].clone(),
        };
        for source in sources {
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
                let shape = self.graph.nodes[i].shape();
                let spreads = matches!(role, Role::Elementwise(_)) && shape.rank() > 0;
                let resolve = |&source: &Source| {
                    let (base, mut path) = self.resolve(source);
                    // A scalar beside operands of any shape that has become data (somebody read it).
                    if spreads && self.graph.var(source).shape().rank() == 0 && !self.is_scalar(base) {
                        path.push(View::Expand(shape.clone()));
                    }
                    (base, path)
                };
                self.graph.inputs[i].iter().map(resolve).collect()
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

    /// Whether node `i` is computed again for the memory budget.
    fn is_copy(&self, i: usize) -> bool {
        self.decisions.is_some_and(|decisions| decisions.copied[i].is_some())
    }

    fn is_generator(&self, i: usize) -> bool {
        matches!(&self.role[i], Role::Elementwise(kernel) if kernel.index)
    }

    fn expressible(&self, (source, path): &(Source, Path)) -> bool {
        fold(self.graph.var(*source).shape(), path).is_some()
    }
}
