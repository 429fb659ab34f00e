//! The pending graph as the planner sees it, and its structural hash.
//!
//! Two graphs with the same hash have the same ops, attributes, shapes, wiring and keeping rules; they differ at most in the
//! values of scalars and in the data. So one plan serves both.

use std::hash::Hash;
use std::ops::Deref;

use foldhash::{HashMap, HashMapExt, HashSet};
use smallvec::SmallVec;

use crate::graph::{Var, order, recording};
use crate::ir::gate::{self, Item, Ordered, Unchecked};
use crate::ir::hash::StructuralHasher;
use crate::ir::{Dag, Keep, Source, replacement};
use crate::ops::assign::Gate;

/// What is to be computed, with its structural hash.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(crate) dag: Dag,
    /// The inputs as the graph has them, where assignments make them differ from those of `dag`; else empty.
    wiring: Vec<SmallVec<[Source; 3]>>,
    /// Hash of the structure.
    pub hash: u128,
}

impl Deref for Snapshot {
    type Target = Dag;

    fn deref(&self) -> &Dag {
        &self.dag
    }
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
        let mut dag = Dag { nodes, inputs, keep, leaves, replaces: Vec::new() };
        dag.replaces = replacement::replacements(&dag, &leaf_index);
        dag.replaces.hash(&mut hash);
        let wiring = if names { wired(&dag, &position, &leaf_index) } else { Vec::new() };
        Snapshot { dag, wiring, hash: hash.finish128() }
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
        replacement::given_up(self, wiring, &with_value)
    }
}

/// The inputs as the graph has them, old values of assignments included, so far as they are part of the snapshot.
fn wired(dag: &Dag, position: &HashMap<u64, usize>, leaf_index: &HashMap<u64, usize>) -> Vec<SmallVec<[Source; 3]>> {
    let source = |input: &Var| {
        let pending = position.get(&input.0.id).map(|&i| Source::Pending(i));
        pending.or_else(|| leaf_index.get(&input.0.id).map(|&l| Source::Leaf(l)))
    };
    dag.nodes.iter().map(|var| var.0.with_inputs(|list| list.iter().filter_map(source).collect())).collect()
}
