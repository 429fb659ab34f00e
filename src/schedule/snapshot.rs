//! The pending graph as the planner sees it, and its structural hash.
//!
//! Two graphs with the same hash have the same ops, attributes, shapes, wiring and keeping rules; they differ at most in the
//! values of scalars and in the data. So one plan serves both.

use std::any::Any;
use std::hash::{Hash, Hasher};

use foldhash::{HashMap, HashMapExt, HashSet};
use smallvec::SmallVec;

use crate::graph::kernel::Kernel;
use crate::graph::{Meta, Var, order, recording};
use crate::ops::assign::{GATED, Gate};
use crate::schedule::gate::{self, Item, Ordered, Unchecked};
use crate::schedule::in_place::{self, Replacement};

/// An input of a pending node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The pending node at this position.
    Pending(usize),
    /// The computed value at this position.
    Leaf(usize),
}

/// What is to be computed.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Nodes without a value, inputs before consumers.
    pub nodes: Vec<Var>,
    /// Inputs of each of `nodes`.
    pub inputs: Vec<SmallVec<[Source; 3]>>,
    /// What is to happen with each node's value.
    pub keep: Vec<Keep>,
    /// Nodes with a value that `nodes` read, in order of first use.
    pub leaves: Vec<Var>,
    /// New values of variables whose old ones are leaves.
    pub replaces: Vec<Replacement>,
    /// The inputs as the graph has them, where [`Snapshot::share`] has changed [`Snapshot::inputs`].
    pub wiring: Vec<SmallVec<[Source; 3]>>,
    /// Hash of the structure.
    pub hash: u128,
    /// The earlier node that computes the same value, for each of `nodes`; empty before [`Snapshot::share`].
    pub same: Vec<Option<usize>>,
    /// Whether anything that is kept needs the value; empty before [`Snapshot::share`].
    pub needed: Vec<bool>,
    /// Where ops are computed again to keep to a memory budget: the position of each node in the snapshot without copies, and
    /// for copies where the first of those made together stands. Else empty.
    pub origin: Vec<usize>,
    pub copied: Vec<Option<usize>>,
    /// With copies: which nodes are computed once, not by each of their readers, as decided without copies; a number for the
    /// kernel that computes each of those, and whether it leaves the value in memory. Copies of a kernel have a number of their
    /// own.
    pub decided: Vec<bool>,
    pub kernel: Vec<Option<usize>>,
    pub written: Vec<bool>,
    /// Numbers for the kernels over rows that those kernels are part of, and whether they leave the value in memory.
    pub row: Vec<Option<usize>>,
    pub beyond_row: Vec<bool>,
}

/// Why a node's value may outlive the flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// Asked for by this flush: stored contiguously even if it is a view.
    pub root: bool,
    /// A user holds it.
    pub held: bool,
    /// A backward pass may still need it.
    pub awaits_backward: bool,
}

impl Snapshot {
    /// Collects what `targets` and `also` need; targets are stored even if they are views. `unchecked` says which values assignments may
    /// have to be withheld for, and `settings` is whatever else the plan depends on.
    pub fn new(targets: &[Var], also: &[Var], unchecked: Unchecked, settings: u64) -> Snapshot {
        let roots: Vec<Var> = targets.iter().chain(also).cloned().collect();
        let Ordered { items, gate_of, gates } = gate::ordered(&roots, unchecked);
        let (mut position, mut gate_at) = (HashMap::with_capacity(items.len()), vec![0; gates.len()]);
        for (i, item) in items.iter().enumerate() {
            match item {
                Item::Node(var) => drop(position.insert(var.0.id, i)),
                Item::Gate(gate) => gate_at[*gate] = i,
            }
        }
        let mut leaves: Vec<Var> = Vec::new();
        let mut leaf_index: HashMap<u64, usize> = HashMap::new();
        let mut inputs: Vec<SmallVec<[Source; 3]>> = Vec::with_capacity(items.len());
        for item in &items {
            let Item::Node(var) = item else {
                inputs.push(SmallVec::new());
                continue;
            };
            let mut source = |input: &Var| match position.get(&input.0.id) {
                Some(&i) => Source::Pending(i),
                None => Source::Leaf(*leaf_index.entry(input.0.id).or_insert_with(|| {
                    leaves.push(input.clone());
                    leaves.len() - 1
                })),
            };
            inputs.push(var.0.with_inputs(|list| match gate_of.get(&var.0.id) {
                Some(&gate) => {
                    std::iter::once(Source::Pending(gate_at[gate])).chain(list.iter().map(&mut source)).collect()
                }
                // Of a name's inputs the first alone is read.
                None if var.is_alias() => list.iter().take(1).map(&mut source).collect(),
                None => list.iter().map(&mut source).collect(),
            }));
        }
        let gate = |gate: usize| {
            let gate = &gates[gate];
            let among = |ids: &[u64]| {
                let mut found: Vec<usize> = ids.iter().filter_map(|id| leaf_index.get(id).copied()).collect();
                found.sort_unstable();
                found
            };
            let mut checks: Vec<usize> = gate.checks.iter().map(|id| position[id]).collect();
            checks.sort_unstable();
            let own_leaves = if gate.all_leaves { (0..leaves.len()).collect() } else { among(&gate.leaves) };
            Gate { checks, leaves: own_leaves, behind: among(&gate.behind) }.planned(&roots[0])
        };
        let names = items.iter().any(|item| matches!(item, Item::Node(var) if var.is_assignment()));
        let nodes = items.iter().map(|item| match item {
            Item::Node(var) => var.clone(),
            Item::Gate(number) => gate(*number),
        });
        let nodes: Vec<Var> = nodes.collect();
        // An assignment that waits for nothing is stored where its new value is.
        let waits = |var: &Var| gate_of.contains_key(&var.0.id);
        let root = |var: &Var| if var.is_assignment() { order::readable(var, waits).0.id } else { var.0.id };
        let root_ids: HashSet<u64> = targets.iter().map(root).collect();
        let mut hash = StructuralHasher::default();
        settings.hash(&mut hash);
        let mut keep = Vec::with_capacity(nodes.len());
        for (var, own) in nodes.iter().zip(&inputs) {
            let node = &var.0;
            let kept = Keep {
                root: root_ids.contains(&node.id),
                held: node.is_held(),
                awaits_backward: node.awaits_backward(),
            };
            (*node.op).type_id().hash(&mut hash);
            node.op.name().hash(&mut hash);
            node.op.structure(&mut hash);
            node.meta.hash(&mut hash);
            own.hash(&mut hash);
            kept.hash(&mut hash);
            keep.push(kept);
        }
        for leaf in &leaves {
            leaf.0.meta.hash(&mut hash);
        }
        let mut snap = Snapshot { nodes, inputs, keep, leaves, ..Snapshot::default() };
        if names {
            snap.wiring = snap.wired(&position, &leaf_index);
        }
        snap.replaces = in_place::replacements(&snap, &leaf_index);
        snap.replaces.hash(&mut hash);
        snap.hash = hash.finish128();
        snap
    }

    /// The inputs as the graph has them, old values of assignments included, so far as they are part of the snapshot.
    fn wired(&self, position: &HashMap<u64, usize>, leaf_index: &HashMap<u64, usize>) -> Vec<SmallVec<[Source; 3]>> {
        let source = |input: &Var| {
            let pending = position.get(&input.0.id).map(|&i| Source::Pending(i));
            pending.or_else(|| leaf_index.get(&input.0.id).map(|&l| Source::Leaf(l)))
        };
        self.nodes.iter().map(|var| var.0.with_inputs(|list| list.iter().filter_map(source).collect())).collect()
    }

    /// How node `i` runs, by the inputs that it has here: those of captured steps have none of their own.
    pub fn kernel_of(&self, i: usize) -> Kernel {
        let metas: SmallVec<[&Meta; 4]> = self.inputs[i].iter().map(|&source| self.var(source).meta()).collect();
        self.nodes[i].0.op.kernel(&metas, self.nodes[i].meta())
    }

    /// The gate that node `i` is, where it is one.
    pub fn gate(&self, i: usize) -> Option<&Gate> {
        let op: &dyn Any = &*self.nodes[i].0.op;
        op.downcast_ref()
    }

    /// The gate that the assignment at position `i` waits for, where it does.
    pub fn gate_of(&self, i: usize) -> Option<&Gate> {
        match (self.nodes[i].is_alias(), &self.inputs[i][..]) {
            (true, [Source::Pending(gate), _, _]) => self.gate(*gate),
            _ => None,
        }
    }

    /// Whether node `i` is its input under another name.
    pub fn is_name(&self, i: usize) -> bool {
        self.nodes[i].is_alias() && self.inputs[i].len() == 1
    }

    /// The node that node `i` is another name of.
    pub fn named(&self, i: usize) -> Option<usize> {
        match (self.is_name(i), &self.inputs[i][..]) {
            (true, &[Source::Pending(named)]) => Some(named),
            _ => None,
        }
    }

    /// The inputs that decide which index checks the value of node `i` depends on. An assignment that waits for them is as right as the old
    /// value is.
    pub fn check_inputs(&self, i: usize) -> &[Source] {
        let gated = self.nodes[i].is_alias() && self.inputs[i].len() == GATED;
        if gated { &self.inputs[i][GATED - 1..] } else { &self.inputs[i] }
    }

    /// Has names take over the values that have been computed.
    pub fn share_values(&self) {
        if !recording::active() {
            let names = self.nodes.iter().enumerate().filter(|(i, _)| self.is_name(*i));
            names.for_each(|(_, var)| var.share_value_now());
        }
    }

    /// For each leaf whether it can be given up when the nodes that have a value then, by their positions, have let go of their inputs.
    pub fn given_up(&self, valued: impl Iterator<Item = usize>) -> Vec<bool> {
        let wiring = if self.wiring.is_empty() { &self.inputs } else { &self.wiring };
        let mut with_value = vec![false; self.nodes.len()];
        valued.for_each(|i| with_value[i] = true);
        for (i, inputs) in wiring.iter().enumerate() {
            // An alias takes over the value of its input; that of a leaf shares the leaf's.
            with_value[i] |= self.is_name(i)
                && inputs.first().is_some_and(|input| matches!(input, Source::Pending(j) if with_value[*j]));
        }
        in_place::given_up(self, wiring, &with_value)
    }

    /// The node behind a source.
    pub fn var(&self, source: Source) -> &Var {
        match source {
            Source::Pending(i) => &self.nodes[i],
            Source::Leaf(i) => &self.leaves[i],
        }
    }
}

/// A 128-bit hash by two lanes of multiply-and-fold (the mixing step of wyhash), wide enough that equal hashes may be taken
/// for equal structures.
#[derive(Clone)]
pub struct StructuralHasher {
    lanes: [u64; 2],
}

impl Default for StructuralHasher {
    fn default() -> StructuralHasher {
        StructuralHasher { lanes: [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9] }
    }
}

impl StructuralHasher {
    fn mix(&mut self, word: u64) {
        const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        for (lane, key) in self.lanes.iter_mut().zip(KEYS) {
            let product = u128::from(*lane ^ word).wrapping_mul(u128::from(key | 1)).wrapping_add(u128::from(word));
            *lane = (product as u64) ^ ((product >> 64) as u64).rotate_left(29);
        }
    }

    /// The hash in full width.
    pub fn finish128(&self) -> u128 {
        let mut last = self.clone();
        last.mix(0x5851_f42d_4c95_7f2d);
        u128::from(last.lanes[0]) << 64 | u128::from(last.lanes[1])
    }
}

impl Hasher for StructuralHasher {
    fn finish(&self) -> u64 {
        self.finish128() as u64
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_ne_bytes(chunk.try_into().unwrap_or_default()));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_ne_bytes(last));
        }
        self.mix(bytes.len() as u64);
    }
    fn write_u8(&mut self, v: u8) {
        self.mix(u64::from(v));
    }
    fn write_u32(&mut self, v: u32) {
        self.mix(u64::from(v));
    }
    fn write_u64(&mut self, v: u64) {
        self.mix(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.mix(v as u64);
    }
}

/// The structural hash of a text.
pub fn hash_text(text: &str) -> u128 {
    let mut hash = StructuralHasher::default();
    text.hash(&mut hash);
    hash.finish128()
}
