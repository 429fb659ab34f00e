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
use crate::graph::Meta;
use crate::graph::kernel::{Kernel, Operand};
use crate::layout::Layout;
use crate::schedule::snapshot::{Snapshot, Source, StructuralHasher};

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

impl Snapshot {
    /// Finds equal nodes: [`Snapshot::same`] and [`Snapshot::needed`] are set, and whoever reads a duplicate reads the first.
    pub fn share(&mut self, caps: &Caps) {
        let n = self.nodes.len();
        let mut first_of: HashMap<Identity, usize> = HashMap::with_capacity(n);
        self.same = vec![None; n];
        if self.wiring.is_empty() {
            self.wiring = self.inputs.clone();
        }
        // The first representative of each node, views included.
        let mut first: Vec<usize> = (0..n).collect();
        for i in 0..n {
            for input in &mut self.inputs[i] {
                if let Source::Pending(j) = input {
                    *j = first[*j];
                }
            }
            let node = &self.nodes[i].0;
            if node.op.is_source() {
                continue;
            }
            let kernel = self.kernel_of(i);
            let mut inputs = self.inputs[i].clone();
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
            let Some(&representative) = first_of.get(&identity) else {
                first_of.insert(identity, i);
                continue;
            };
            if self.checks_indices(i, &kernel, caps) {
                continue;
            }
            first[i] = representative;
            if !matches!(kernel, Kernel::View(_)) {
                self.same[i] = Some(representative);
            }
        }
        self.find_needed();
    }

    /// Notes whose value anything that is kept needs. Kernels that are given run whole or not at all.
    pub fn find_needed(&mut self) {
        let n = self.nodes.len();
        self.needed = vec![false; n];
        let mut running: HashSet<(bool, usize)> = HashSet::new();
        loop {
            self.spread_need();
            let of = |numbers: &[Option<usize>], i: usize| numbers.get(i).copied().flatten();
            let members = || {
                let kernels = (0..n).filter_map(|i| Some((i, (false, of(&self.kernel, i)?))));
                kernels.chain((0..n).filter_map(|i| Some((i, (true, of(&self.row, i)?)))))
            };
            let before = running.len();
            running.extend(members().filter(|(i, _)| self.needed[*i]).map(|(_, kernel)| kernel));
            if running.len() == before {
                return;
            }
            let all: Vec<usize> = members().filter(|(_, kernel)| running.contains(kernel)).map(|(i, _)| i).collect();
            all.into_iter().for_each(|i| self.needed[i] = true);
        }
    }

    /// Passes the need for values on to what they are computed from.
    fn spread_need(&mut self) {
        for i in (0..self.nodes.len()).rev() {
            let keep = self.keep[i];
            let representative = self.representative(i).map(Source::Pending);
            if keep.root || keep.held || (keep.awaits_backward && representative.is_some()) {
                self.needed[i] = true;
            }
            if !self.needed[i] {
                continue;
            }
            for source in representative.iter().chain(self.inputs[i].iter().filter(|_| representative.is_none())) {
                if let Source::Pending(j) = source {
                    self.needed[*j] = true;
                }
            }
        }
    }

    /// Whether a kernel of node `i` reports indices that are out of range.
    fn checks_indices(&self, i: usize, kernel: &Kernel, caps: &Caps) -> bool {
        let Kernel::Routine(routine) = kernel else { return false };
        let operand = |meta: &Meta| Operand { meta: meta.clone(), layout: Layout::contiguous(meta.shape.clone()) };
        let inputs: Vec<Operand> = self.inputs[i].iter().map(|&source| operand(self.var(source).meta())).collect();
        // A routine that cannot run here says so when it is planned.
        let stages = routine.stages(&inputs, &operand(self.nodes[i].meta()), caps);
        stages.map_or(true, |stages| stages.iter().any(|stage| stage.checks_indices))
    }

    /// The earlier node of the same value.
    pub fn representative(&self, i: usize) -> Option<usize> {
        self.same.get(i).copied().flatten()
    }

    /// Whether somebody needs the value of node `i`.
    pub fn is_needed(&self, i: usize) -> bool {
        self.needed.get(i).copied().unwrap_or(true)
    }
}
