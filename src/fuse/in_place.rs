//! Updates in place: the new value of a variable is written over the old one, where nothing reads the old one afterwards.
//!
//! That is so where the old value is a leaf of the flush, and an elementwise kernel computes the new one from the same elements of the old
//! one (or without it), and every other kernel that reads the old value runs before.

use foldhash::HashMap;

use crate::ir::group::{Core, Group};
use crate::ir::{Merged, Replacement, Source};

/// Decides which groups write their results over leaves: sets [`Group::in_place`].
pub fn decide(groups: &mut [Group], graph: &Merged, kept: &[bool]) {
    if graph.replaces.is_empty() {
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
    for &Replacement { node, leaf } in &graph.replaces {
        let Some(&g) = writer.get(&node).filter(|_| kept[node]) else { continue };
        if last_reader.get(&leaf).is_some_and(|&reader| reader > g) {
            continue;
        }
        let reads = |part: &Group| part.leaves().iter().any(|read| read.source == Source::Leaf(leaf));
        let parts: &mut [Group] = match &mut groups[g].core {
            Core::Horizontal(parts) => parts,
            _ => std::slice::from_mut(&mut groups[g]),
        };
        let writes = |part: &Group| part.outputs.iter().any(|&(_, own)| own == node);
        let Some(own) = parts.iter().position(writes) else { continue };
        if parts.iter().enumerate().any(|(p, part)| p != own && reads(part)) {
            continue;
        }
        let part = &mut parts[own];
        let flat = part.body.leaves.iter().filter(|read| read.source == Source::Leaf(leaf)).all(|l| l.layout.is_flat());
        // A single element is not walked by quads, and saves nothing.
        if matches!(part.core, Core::Elementwise) && flat && part.numel > 1 {
            part.in_place.push(Replacement { node, leaf });
        }
    }
}
