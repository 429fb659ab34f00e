//! Horizontal fusion: kernels that do not depend on each other become one dispatch, as the updates of all parameters do.

use foldhash::HashSet;

use crate::caps::Caps;
use crate::fuse::groups::RECOMPUTE_WORK;
use crate::ir::group::{Body, Core, Group};
use crate::ir::{Merged, Source};
use crate::layout::Layout;

/// Storage buffers that one kernel binds at most, where the device has more.
const MAX_BUFFERS: usize = 48;
/// Groups in one kernel.
const MAX_PARTS: usize = 16;
/// Elements from which a kernel is long enough that its dispatch does not count.
const LARGE: usize = 1 << 22;
/// Bytes that may stay alive longer because their reader waits for others.
const DELAYED: u64 = 1 << 20;

/// Groups that become one kernel at the position of the last.
struct Bundle {
    workgroup: u32,
    parts: Vec<usize>,
    buffers: HashSet<(Source, Option<Layout>)>,
    writes: HashSet<usize>,
    /// Bytes of the pending values that the parts read.
    pending_bytes: u64,
}

/// Elements times instructions that software adapters walk through for nothing where these groups share a kernel: their lanes go
/// through every branch, so that each element takes the instructions of all.
fn wasted<'a>(groups: impl Iterator<Item = &'a Group>) -> u64 {
    let (mut elements, mut instructions, mut work) = (0, 0, 0);
    for group in groups {
        let own = (group.numel as u64, group.instructions() as u64);
        elements += own.0;
        instructions += own.1;
        work += own.0 * own.1;
    }
    elements * instructions - work
}

/// Puts independent small groups into one kernel where the device binds enough buffers. `workgroups` has the invocations per workgroup of those
/// groups whose kernel is one body that works by its linear invocation index: only such kernels can share one, and only those of one size. So many buffers
/// are left `spare`.
pub fn fuse(groups: Vec<Group>, workgroups: &[Option<u32>], graph: &Merged, caps: &Caps, spare: usize) -> Vec<Group> {
    let limit = (caps.max_storage_buffers as usize).saturating_sub(spare).min(MAX_BUFFERS);
    let mut open: Vec<Bundle> = Vec::new();
    let mut done: Vec<Bundle> = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        let leaves = group.leaves();
        let reads = |bundle: &Bundle| {
            leaves.iter().any(|leaf| matches!(leaf.source, Source::Pending(i) if bundle.writes.contains(&i)))
        };
        // What this group reads must have run before it.
        for i in (0..open.len()).rev() {
            if reads(&open[i]) {
                done.push(open.swap_remove(i));
            }
        }
        let Some(workgroup) = workgroups[g].filter(|_| group.numel <= LARGE) else { continue };
        let own: HashSet<(Source, Option<Layout>)> = leaves
            .iter()
            .map(|leaf| (leaf.source, Some(leaf.layout.clone())))
            .chain(group.outputs.iter().map(|&(_, node)| (Source::Pending(node), None)))
            .collect();
        let pending: HashSet<usize> =
            leaves.iter().filter_map(|l| if let Source::Pending(i) = l.source { Some(i) } else { None }).collect();
        let pending_bytes: u64 = pending.iter().map(|&i| graph.nodes[i].meta().bytes()).sum();
        let pays = |bundle: &Bundle| {
            let parts = || bundle.parts.iter().map(|&part| &groups[part]);
            caps.policy().fuses_unequal_parts
                || wasted(parts().chain([group])) <= wasted(parts()) + RECOMPUTE_WORK as u64
        };
        let fits = |bundle: &Bundle| {
            let next = bundle.parts.last() == Some(&g.wrapping_sub(1));
            bundle.workgroup == workgroup
                && bundle.parts.len() < MAX_PARTS
                && bundle.buffers.union(&own).count() <= limit
                && pays(bundle)
                && (next || bundle.pending_bytes <= DELAYED)
        };
        match open.iter_mut().find(|bundle| fits(bundle)) {
            Some(bundle) => {
                bundle.parts.push(g);
                bundle.buffers.extend(own);
                bundle.writes.extend(group.outputs.iter().map(|(_, node)| node));
                bundle.pending_bytes += pending_bytes;
            }
            None => open.push(Bundle {
                workgroup,
                parts: vec![g],
                buffers: own,
                writes: group.outputs.iter().map(|(_, node)| *node).collect(),
                pending_bytes,
            }),
        }
    }
    done.extend(open);
    let mut slots: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    for bundle in done.into_iter().filter(|bundle| bundle.parts.len() > 1) {
        let parts: Vec<Group> = bundle.parts.iter().filter_map(|&g| slots[g].take()).collect();
        if let Some(&last) = bundle.parts.last() {
            slots[last] = Some(together(parts));
        }
    }
    slots.into_iter().flatten().collect()
}

fn together(parts: Vec<Group>) -> Group {
    fn all<T: Clone>(parts: &[Group], of: impl Fn(&Group) -> &Vec<T>) -> Vec<T> {
        parts.iter().flat_map(|part| of(part).clone()).collect()
    }
    Group {
        body: Body::default(),
        outputs: Vec::new(),
        in_place: Vec::new(),
        numel: parts.iter().map(|part| part.numel).sum(),
        members: all(&parts, |part| &part.members),
        ops: all(&parts, |part| &part.ops),
        stored: all(&parts, |part| &part.stored),
        ended: all(&parts, |part| &part.ended),
        core: Core::Horizontal(parts),
    }
}
