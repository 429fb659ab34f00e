//! Common subexpressions: nodes that compute the same value become one, and what nobody needs then is not computed.
//!
//! Two nodes are equal nodes where op, attributes, shape, type and inputs agree, which is what the structural hash goes by too, so a
//! plan that merges equal nodes serves every graph of its hash. Numbers known on the host differ from graph to graph under one
//! hash, and data are what they are, so neither is ever a duplicate; ops on the same number are. Random ops have their counter as an
//! input. Ops that check indices report under numbers of their own, so they stay apart.

use std::any::TypeId;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use smallvec::SmallVec;

use crate::caps::Caps;
use crate::fuse::Decisions;
use crate::graph::Meta;
use crate::graph::kernel::{Kernel, Operand};
use crate::ir::hash::StructuralHasher;
use crate::ir::{Dag, Merged, Snapshot, Source};
use crate::layout::Layout;

/// What makes two nodes equal nodes.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    op: TypeId,
    name: String,
    attributes: u128,
    meta: Meta,
    inputs: SmallVec<[Source; 3]>,
}

/// Functions of two operands that give the same bits either way round. Largest and smallest elements are not among them:
/// which of two zeros or of two NaNs they give may depend on the order.
const COMMUTATIVE: [&str; 6] = ["add_fwd", "mul_fwd", "eq_fwd", "ne_fwd", "logical_and_fwd", "logical_or_fwd"];

/// The graph of a snapshot in which whoever read a duplicate reads the first node of the same value.
pub fn merge(snap: &Snapshot, caps: &Caps) -> Merged {
    let mut dag: Dag = (**snap).clone();
    let n = dag.nodes.len();
    let mut representative = vec![None; n];
    let mut first_of: HashMap<Identity, usize> = HashMap::with_capacity(n);
    // The first node of the same value for each node, views included.
    let mut first: Vec<usize> = (0..n).collect();
    for i in 0..n {
        for input in &mut dag.inputs[i] {
            if let Source::Pending(j) = input {
                *j = first[*j];
            }
        }
        let node = &dag.nodes[i].0;
        if node.op.is_source() {
            continue;
        }
        let kernel = dag.kernel_of(i);
        let mut inputs = dag.inputs[i].clone();
        match &kernel {
            Kernel::Scalar(_) | Kernel::Data => continue,
            Kernel::Elementwise(e) if e.function.trusted && COMMUTATIVE.contains(&e.function.name.as_str()) => {
                inputs.sort_unstable_by_key(|source| match source {
                    Source::Pending(i) => (0, *i),
                    Source::Leaf(i) => (1, *i),
                });
            }
            _ => {}
        }
        let mut hash = StructuralHasher::default();
        node.op.structure(&mut hash);
        let (op, name) = ((*node.op).type_id(), node.op.name().to_owned());
        let identity = Identity { op, name, attributes: hash.finish128(), meta: node.meta.clone(), inputs };
        let Some(&earlier) = first_of.get(&identity) else {
            first_of.insert(identity, i);
            continue;
        };
        if checks_indices(&dag, i, &kernel, caps) {
            continue;
        }
        first[i] = earlier;
        if !matches!(kernel, Kernel::View(_)) {
            representative[i] = Some(earlier);
        }
    }
    let mut merged = Merged { dag, representative, needed: Vec::new() };
    find_needed(&mut merged, None);
    merged
}

/// Notes whose value anything that is kept needs. Kernels that are given by `decisions` run whole or not at all.
pub fn find_needed(graph: &mut Merged, decisions: Option<&Decisions>) {
    let n = graph.dag.nodes.len();
    graph.needed = vec![false; n];
    let mut running: HashSet<(bool, usize)> = HashSet::new();
    loop {
        spread_need(graph);
        let Some(decisions) = decisions else { return };
        let members = || {
            let kernels = (0..n).filter_map(|i| Some((i, (false, decisions.kernel[i]?))));
            kernels.chain((0..n).filter_map(|i| Some((i, (true, decisions.row[i]?)))))
        };
        let before = running.len();
        running.extend(members().filter(|(i, _)| graph.needed[*i]).map(|(_, kernel)| kernel));
        if running.len() == before {
            return;
        }
        let all: Vec<usize> = members().filter(|(_, kernel)| running.contains(kernel)).map(|(i, _)| i).collect();
        all.into_iter().for_each(|i| graph.needed[i] = true);
    }
}

/// Passes the need for values on to what they are computed from.
fn spread_need(graph: &mut Merged) {
    for i in (0..graph.dag.nodes.len()).rev() {
        let keep = graph.dag.keep[i];
        if keep.root || keep.held || (keep.awaits_backward && graph.representative[i].is_some()) {
            graph.needed[i] = true;
        }
        if !graph.needed[i] {
            continue;
        }
        for source in graph.reads(i) {
            if let Source::Pending(j) = source {
                graph.needed[j] = true;
            }
        }
    }
}

/// Whether a kernel of node `i` reports indices that are out of range.
fn checks_indices(dag: &Dag, i: usize, kernel: &Kernel, caps: &Caps) -> bool {
    let Kernel::Routine(routine) = kernel else { return false };
    let operand = |meta: &Meta| Operand { meta: meta.clone(), layout: Layout::contiguous(meta.shape.clone()) };
    let inputs: Vec<Operand> = dag.inputs[i].iter().map(|&source| operand(dag.var(source).meta())).collect();
    // A routine that cannot run here says so when it is planned.
    let stages = routine.stages(&inputs, &operand(dag.nodes[i].meta()), caps);
    stages.map_or(true, |stages| stages.iter().any(|stage| stage.checks_indices))
}
