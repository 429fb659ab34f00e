//! New values of variables, and which old ones may be given up for them.
//!
//! A variable's new value notes which node the variable was bound to before ([`Node::replaces`](crate::graph::Node)). Where that is a leaf,
//! a kernel may write the new value into the old buffer. Whether the old value may be given up differs from run to run: where somebody still
//! reaches it, the run works on a copy.

use std::sync::Arc;

use foldhash::{HashMap, HashSet, HashSetExt};
use smallvec::SmallVec;

use crate::graph::Var;
use crate::ir::{Dag, Source};

/// The new value of a variable whose old one is a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replacement {
    /// The node that computes the new value.
    pub node: usize,
    /// The old value: position among the leaves.
    pub leaf: usize,
}

/// The replacements among the nodes of a graph; `leaf_of` has the leaves by their ids.
pub fn replacements(dag: &Dag, leaf_of: &HashMap<u64, usize>) -> Vec<Replacement> {
    let mut leaves = HashSet::new();
    let mut found = Vec::new();
    // Of several successive values the last one counts.
    for (node, var) in dag.nodes.iter().enumerate().rev().filter(|(i, _)| !dag.is_name(*i)) {
        let Some(&leaf) = var.0.replaces().and_then(|id| leaf_of.get(&id)) else { continue };
        if var.meta() == dag.leaves[leaf].meta() && leaves.insert(leaf) {
            found.push(Replacement { node, leaf });
        }
    }
    found.reverse();
    found
}

/// Which leaves can be given up: nobody reaches them any more once the nodes of the graph that have a value then, by `valued`, have let
/// go of their inputs. `wiring` has the inputs as the graph has them.
pub fn given_up(dag: &Dag, wiring: &[SmallVec<[Source; 3]>], valued: &[bool]) -> Vec<bool> {
    let (mut node_uses, mut leaf_uses) = (vec![0usize; dag.nodes.len()], vec![0usize; dag.leaves.len()]);
    for source in wiring.iter().flatten() {
        match source {
            Source::Pending(i) => node_uses[*i] += 1,
            Source::Leaf(l) => leaf_uses[*l] += 1,
        }
    }
    // The graph has one handle.
    let reached = |var: &Var, uses: usize| var.0.is_held() || Arc::strong_count(&var.0) > uses + 1;
    let (mut node_kept, mut leaf_kept) = (vec![false; dag.nodes.len()], vec![false; dag.leaves.len()]);
    for (i, var) in dag.nodes.iter().enumerate().rev() {
        let goes = match valued[i] {
            true => var.0.lets_go(),
            false => !node_kept[i] && !reached(var, node_uses[i]),
        };
        if goes {
            continue;
        }
        for source in &wiring[i] {
            match source {
                Source::Pending(j) => node_kept[*j] = true,
                Source::Leaf(l) => leaf_kept[*l] = true,
            }
        }
    }
    let leaf = |(l, var): (usize, &Var)| !leaf_kept[l] && !reached(var, leaf_uses[l]) && var.0.is_only_owner();
    dag.leaves.iter().enumerate().map(leaf).collect()
}
