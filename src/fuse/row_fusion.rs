//! Kernels over rows: reductions over the last dim, and what is computed from them at every element of the same rows, in one kernel.
//! A softmax or a normalisation that is written in primitive ops so takes one kernel, which walks over a row several times while
//! it is in the cache.
//!
//! On software adapters an invocation takes a row. On GPUs, where neighbouring invocations would then load far apart, they share one, and
//! a reduction alone is such a kernel too: it would take two dispatches else.

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::fuse::Decisions;
use crate::fuse::groups::MAX_INSTRUCTIONS;
use crate::graph::kernel::Combine;
use crate::ir::group::{Body, Core, Group, What};
use crate::ir::{Merged, Source};
use crate::layout::{Layout, View};
use crate::shape::Shape;

/// Elements of the longest row: with [`MAX_PARTS`] walks an invocation turns far fewer than 65,535 times.
const LONGEST: usize = 8192;
/// Rows from which there is one for each invocation that a CPU keeps busy, and elements below which that does not matter.
const FEWEST: usize = 256;
const FEW_ELEMENTS: usize = 1 << 14;
/// Elements of a row from which it is shared on GPUs where nothing follows.
const SHARED_ALONE: usize = 256;
/// Walks of one kernel.
const MAX_PARTS: usize = 6;
/// Kernels after one that are looked at.
const AHEAD: usize = 12;

/// Kernels that become one at the place of the last.
struct Chain {
    parts: Vec<usize>,
    rows: usize,
    size: usize,
}

/// Puts chains of kernels over the same rows together. `budget` is the number of storage buffers that one kernel may bind.
///
/// # Errors
/// Where the chains are given (see [`Decisions::row`]) and cannot run in an order that suits.
pub fn chain(
    groups: Vec<Group>,
    kept: &[bool],
    graph: &Merged,
    decisions: Option<&Decisions>,
    caps: &Caps,
    budget: usize,
) -> Result<Vec<Group>> {
    let chains = match decisions {
        Some(decisions) => given(&groups, graph, decisions)?,
        None => find(&groups, kept, graph, caps, budget),
    };
    let mut readers: HashMap<usize, usize> = HashMap::new();
    for i in groups.iter().flat_map(pending_reads) {
        *readers.entry(i).or_default() += 1;
    }
    let mut slots: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    for chain in chains {
        let parts: Vec<Group> = chain.parts.iter().filter_map(|&g| slots[g].take()).collect();
        if let Some(&last) = chain.parts.last() {
            slots[last] = Some(together(parts, &chain, &readers, kept, decisions));
        }
    }
    Ok(slots.into_iter().flatten().collect())
}

/// The stored values that a group loads, each once.
fn pending_reads(group: &Group) -> Vec<usize> {
    let reads =
        group.leaves().into_iter().filter_map(|l| if let Source::Pending(i) = l.source { Some(i) } else { None });
    let mut reads: Vec<usize> = reads.collect();
    reads.sort_unstable();
    reads.dedup();
    reads
}

fn made(group: &Group) -> impl Iterator<Item = usize> + '_ {
    group.outputs.iter().map(|(_, node)| *node)
}

fn find(groups: &[Group], kept: &[bool], graph: &Merged, caps: &Caps, budget: usize) -> Vec<Chain> {
    let shares = caps.policy().shares_rows;
    let mut taken = vec![false; groups.len()];
    let mut chains = Vec::new();
    for first in 0..groups.len() {
        let Some((rows, size)) = rows_of(&groups[first], graph).filter(|_| !taken[first]) else { continue };
        let near = |g: usize| !shares || is_along_rows(&groups[g], rows, size);
        if !shares && rows < FEWEST && rows * size > FEW_ELEMENTS || !near(first) {
            continue;
        }
        let mut chain = Chain { parts: vec![first], rows, size };
        for next in first + 1..groups.len().min(first + AHEAD) {
            let reads = pending_reads(&groups[next]);
            let from_chain = |i: &usize| chain.parts.iter().any(|&g| made(&groups[g]).any(|node| node == *i));
            if !reads.iter().any(from_chain) {
                continue;
            }
            // Whoever else reads what the chain makes has to run after it.
            let buffers = buffers(&chain, next, groups, kept);
            let bound = buffers.iter().all(|source| graph.var(*source).meta().bytes() <= caps.max_binding);
            let fits = bound && buffers.len() <= budget && joins(&chain, next, groups, graph) && near(next);
            if taken[next] || !fits {
                break;
            }
            chain.parts.push(next);
        }
        if chain.parts.len() > 1 || shares && size >= SHARED_ALONE {
            chain.parts.iter().for_each(|&g| taken[g] = true);
            chains.push(chain);
        }
    }
    chains
}

/// The chains that the decisions ask for.
fn given(groups: &[Group], graph: &Merged, decisions: &Decisions) -> Result<Vec<Chain>> {
    let number = |group: &Group| group.members.first().and_then(|&i| decisions.row[i]);
    let mut chains: Vec<(usize, Chain)> = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        if let Some(number) = number(group) {
            match chains.iter_mut().find(|(own, _)| *own == number) {
                Some((_, chain)) => chain.parts.push(g),
                None => {
                    let Some((rows, size)) = rows_of(group, graph) else { return Err(apart(group, graph)) };
                    chains.push((number, Chain { parts: vec![g], rows, size }));
                }
            }
        }
        // What a chain makes is there only after its last part.
        let early = |chain: &Chain| {
            !chain.parts.contains(&g)
                && chain.parts.iter().any(|&p| made(&groups[p]).any(|node| pending_reads(group).contains(&node)))
                && groups[g + 1..].iter().any(|later| number(later) == number(&groups[chain.parts[0]]))
        };
        if chains.iter().any(|(_, chain)| early(chain)) {
            return Err(apart(group, graph));
        }
    }
    Ok(chains.into_iter().map(|(_, chain)| chain).collect())
}

fn apart(group: &Group, graph: &Merged) -> Error {
    let op = group.members.first().map_or("rows", |&i| graph.nodes[i].0.op.name());
    Error::internal(op, "kernels over rows would have to run apart")
}

/// Rows and their size, where the group reduces the last dim.
fn rows_of(group: &Group, graph: &Merged) -> Option<(usize, usize)> {
    let Core::Reduce { node, reduce, body, .. } = &group.core else { return None };
    let shape = graph.var(graph.inputs[*node][0]).shape();
    let size = *shape.last()?;
    let rows = shape.numel().checked_div(size)?;
    let arg = matches!(reduce.combine, Combine::ArgMax | Combine::ArgMin);
    let fits = !arg && reduce.dims[..] == [shape.rank() - 1] && rows > 1 && (2..=LONGEST).contains(&size);
    (fits && as_rows(body, rows, size).is_some()).then_some((rows, size))
}

/// The body over `[rows, size]`, where its walks can be expressed so.
fn as_rows(body: &Body, rows: usize, size: usize) -> Option<Body> {
    let view = View::Reshape(Shape::from([rows, size]));
    let mut out = body.clone();
    for leaf in &mut out.leaves {
        leaf.layout = leaf.layout.view(&view)?;
    }
    for inst in &mut out.code {
        if let What::Index(layout) = &mut inst.what {
            *layout = layout.view(&view)?;
        }
    }
    Some(out)
}

/// Whether the elements of a row that a group loads are neighbours, so that invocations that share a row load neighbours.
fn is_along_rows(group: &Group, rows: usize, size: usize) -> bool {
    let body = if let Core::Reduce { body, .. } = &group.core { body } else { &group.body };
    as_rows(body, rows, size).is_some_and(|body| body.leaves.iter().all(|l| matches!(l.layout.strides[..], [_, 0 | 1])))
}

/// Whether group `next` may be the chain's next part.
fn joins(chain: &Chain, next: usize, groups: &[Group], graph: &Merged) -> bool {
    let group = &groups[next];
    let (rows, size) = (chain.rows, chain.size);
    let from_chain = |source: Source| matches!(source, Source::Pending(i) if chain.parts.iter().any(|&g| made(&groups[g]).any(|node| node == i)));
    // Over the rows' elements what the chain makes is one value per row; over the rows, it is the value of that row.
    let repeats = |body: &Body| {
        body.leaves
            .iter()
            .filter(|l| from_chain(l.source))
            .all(|l| l.layout.strides[..] == [1, 0] && l.layout.offset == 0)
    };
    let flat = |layout: &Layout| {
        let flat = layout.collapsed();
        flat.offset == 0 && flat.strides[..] == [1]
    };
    let same = |body: &Body| body.leaves.iter().filter(|l| from_chain(l.source)).all(|l| flat(&l.layout));
    let over_elements = match &group.core {
        Core::Reduce { body, .. } if rows_of(group, graph) == Some((rows, size)) && same(&group.body) => body,
        Core::Elementwise if group.numel == rows * size => &group.body,
        _ => return false,
    };
    if !as_rows(over_elements, rows, size).is_some_and(|body| repeats(&body)) {
        return false;
    }
    // Values of elements stay within their kernel.
    let is_row = |g: usize| matches!(groups[g].core, Core::Reduce { .. });
    let whole = chain.parts.iter().all(|&g| is_row(g) || !reads_any(group, &groups[g]));
    let instructions: usize = chain.parts.iter().chain([&next]).map(|&g| groups[g].instructions()).sum();
    whole && chain.parts.len() < MAX_PARTS && instructions <= MAX_INSTRUCTIONS
}

/// The buffers that the chain and group `next` bind together. Values that only they read need none.
fn buffers(chain: &Chain, next: usize, groups: &[Group], kept: &[bool]) -> HashSet<Source> {
    let inside = |g: usize| g == next || chain.parts.contains(&g);
    let parts = || chain.parts.iter().chain([&next]).map(|&g| &groups[g]);
    let made: HashSet<usize> = parts().flat_map(made).collect();
    let others = groups.iter().enumerate().filter(|(g, _)| !inside(*g)).map(|(_, group)| group);
    let read_outside: HashSet<usize> = others.flat_map(pending_reads).filter(|i| made.contains(i)).collect();
    let reads = parts().flat_map(Group::leaves).map(|leaf| leaf.source);
    let reads = reads.filter(|source| !matches!(source, Source::Pending(i) if made.contains(i)));
    let writes = made.iter().filter(|&i| kept[*i] || read_outside.contains(i)).map(|&i| Source::Pending(i));
    reads.chain(writes).collect()
}

fn reads_any(group: &Group, other: &Group) -> bool {
    let reads = pending_reads(group);
    made(other).any(|node| reads.contains(&node))
}

/// One group of the parts, which are rewritten to work on `[rows, size]`.
fn together(
    parts: Vec<Group>,
    chain: &Chain,
    readers: &HashMap<usize, usize>,
    kept: &[bool],
    decisions: Option<&Decisions>,
) -> Group {
    let (rows, size) = (chain.rows, chain.size);
    let mut inside: HashMap<usize, usize> = HashMap::new();
    for i in parts.iter().flat_map(pending_reads) {
        *inside.entry(i).or_default() += 1;
    }
    let is_read_outside = |node: usize| readers.get(&node) != inside.get(&node);
    let written = |node: usize| {
        kept[node] || is_read_outside(node) || decisions.is_some_and(|decisions| decisions.beyond_row[node])
    };
    let outputs: Vec<(usize, usize)> =
        parts.iter().flat_map(made).filter(|&node| written(node)).map(|i| (0, i)).collect();
    fn all<T: Clone>(parts: &[Group], of: impl Fn(&Group) -> &Vec<T>) -> Vec<T> {
        parts.iter().flat_map(|part| of(part).clone()).collect()
    }
    let stored = all(&parts, |part| &part.stored);
    let group = Group {
        body: Body::default(),
        numel: rows * size,
        members: all(&parts, |part| &part.members),
        ops: all(&parts, |part| &part.ops),
        stored: stored.into_iter().filter(|(node, _)| outputs.iter().any(|(_, own)| own == node)).collect(),
        ended: all(&parts, |part| &part.ended),
        outputs,
        in_place: Vec::new(),
        core: Core::Elementwise,
    };
    let parts = parts.into_iter().map(|mut part| {
        let body = if let Core::Reduce { body, .. } = &mut part.core { body } else { &mut part.body };
        if let Some(over) = as_rows(body, rows, size) {
            *body = over;
        }
        part
    });
    Group { core: Core::Rows { parts: parts.collect(), rows, size }, ..group }
}
