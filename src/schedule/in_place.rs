//! Updates in place: the new value of a variable is written over the old one, where nothing reads the old one afterwards.
//!
//! A variable's new value notes which node the variable was bound to before ([`Node::replaces`](crate::graph::Node)). Where that is a
//! leaf of the flush, and an elementwise kernel computes the new value from the same elements of the old one (or without it), and every
//! other kernel that reads the old value runs before, the kernel writes into the old buffer. That is a property of the plan. Whether the old
//! value may be given up differs from run to run: where somebody still reaches it, the run works on a copy.

use std::sync::Arc;

use foldhash::{HashMap, HashSet, HashSetExt};

use crate::codegen::is_flat;
use crate::graph::Var;
use crate::schedule::group::{Core, Group};
use crate::schedule::snapshot::{Snapshot, Source};

/// The new value of a variable whose old one is a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replacement {
    /// The node that computes the new value.
    pub node: usize,
    /// The old value: position among the leaves.
    pub leaf: usize,
}

/// The replacements among the nodes of a snapshot; `leaf_of` has the leaves by their ids.
pub fn replacements(snap: &Snapshot, leaf_of: &HashMap<u64, usize>) -> Vec<Replacement> {
    let mut leaves = HashSet::new();
    let mut found = Vec::new();
    // Of several successive values the last one counts.
    for (node, var) in snap.nodes.iter().enumerate().rev().filter(|(i, _)| !snap.is_name(*i)) {
        let Some(&leaf) = var.0.replaces().and_then(|id| leaf_of.get(&id)) else { continue };
        if var.meta() == snap.leaves[leaf].meta() && leaves.insert(leaf) {
            found.push(Replacement { node, leaf });
        }
    }
    found.reverse();
    found
}

/// Decides which groups write their results over leaves: sets [`Group::in_place`].
pub fn decide(groups: &mut [Group], snap: &Snapshot, kept: &[bool]) {
    if snap.replaces.is_empty() {
        return;
    }
    let mut last_reader: HashMap<usize, usize> = HashMap::default();
    let mut writer: HashMap<usize, usize> = HashMap::default();
    for (g, group) in groups.iter().enumerate() {
        for leaf in group.leaves() {
            if let Source::Leaf(l) = leaf.source {
                last_reader.insert(l, g);
            }
        }
        writer.extend(group.parts().flat_map(|part| &part.outputs).map(|&(_, node)| (node, g)));
    }
    for &Replacement { node, leaf } in &snap.replaces {
        let Some(&g) = writer.get(&node).filter(|_| kept[node]) else { continue };
        if last_reader.get(&leaf).is_some_and(|&reader| reader > g) {
            continue;
        }
        let reads = |part: &Group| part.leaves().iter().any(|read| read.source == Source::Leaf(leaf));
        let parts: &mut [Group] = match &mut groups[g].core {
            Core::Wide(parts) => parts,
            _ => std::slice::from_mut(&mut groups[g]),
        };
        let writes = |part: &Group| part.outputs.iter().any(|&(_, own)| own == node);
        let Some(own) = parts.iter().position(writes) else { continue };
        if parts.iter().enumerate().any(|(p, part)| p != own && reads(part)) {
            continue;
        }
        let part = &mut parts[own];
        let flat = part.body.leaves.iter().filter(|read| read.source == Source::Leaf(leaf)).all(|l| is_flat(&l.layout));
        // A single element is not walked by quads, and saves nothing.
        if matches!(part.core, Core::Elementwise) && flat && part.numel > 1 {
            part.in_place.push(Replacement { node, leaf });
        }
    }
}

/// Which leaves can be given up: nobody reaches them any more once the nodes of the snapshot that have a value then, by `valued`, have let
/// go of their inputs. `wiring` has the inputs as the graph has them.
pub fn given_up(snap: &Snapshot, wiring: &[smallvec::SmallVec<[Source; 3]>], valued: &[bool]) -> Vec<bool> {
    let (mut node_uses, mut leaf_uses) = (vec![0usize; snap.nodes.len()], vec![0usize; snap.leaves.len()]);
    for source in wiring.iter().flatten() {
        match source {
            Source::Pending(i) => node_uses[*i] += 1,
            Source::Leaf(l) => leaf_uses[*l] += 1,
        }
    }
    // The snapshot itself has one handle.
    let reached = |var: &Var, uses: usize| var.0.is_held() || Arc::strong_count(&var.0) > uses + 1;
    let (mut node_kept, mut leaf_kept) = (vec![false; snap.nodes.len()], vec![false; snap.leaves.len()]);
    for (i, var) in snap.nodes.iter().enumerate().rev() {
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
    snap.leaves.iter().enumerate().map(leaf).collect()
}
