//! Which assignments wait for which index checks, and the order that follows.
//!
//! An assignment waits for the checks that its new value depends on, but not for those behind values that were themselves assigned: these are
//! right in either case. Where there are any, and of `Scope::Step` always, it also waits for the other checks of its training step in the
//! same graph, so far as they can run before it. A new value that is made of nothing but the old one and of other values that were assigned waits for what those waited for: an
//! average of parameters moves where the parameters do.
//!
//! All checks that an assignment waits for have to run before its gate. What leads to no check itself can wait for any, and is put behind all
//! of them. All else comes in the order in which it was recorded, and waits for earlier checks alone.

use std::any::Any;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use smallvec::SmallVec;

use crate::graph::kernel::Kernel;
use crate::graph::{IndexCheck, Meta, Var, order};
use crate::layout::View;
use crate::ops::assign::{Assign, Scope};

/// Which leaves may depend on index checks that fail.
#[derive(Clone, Copy, Debug)]
pub enum Unchecked {
    /// Those that depend on checks above this number, or on a fault that is known.
    After(u64),
    /// All of them, together: for steps that run again and again.
    All,
    /// None.
    Nothing,
}

/// The nodes in the order in which they are planned.
pub struct Ordered {
    pub items: Vec<Item>,
    /// The gate that each assignment which waits has, by the id of its node.
    pub gate_of: HashMap<u64, usize>,
    pub gates: Vec<Contents>,
}

/// What a gate waits for, by ids.
#[derive(Default)]
pub struct Contents {
    /// Nodes that check indices.
    pub checks: Vec<u64>,
    /// Leaves that depend on checks.
    pub leaves: Vec<u64>,
    /// Whether all leaves may.
    pub all_leaves: bool,
    /// Leaves whose assignment waited for checks.
    pub behind: Vec<u64>,
}

/// A node, or the gate of this number.
pub enum Item {
    Node(Var),
    Gate(usize),
}

/// What a node checks, and the value that holds the indices: views that show all of it are looked through.
fn checks_of(var: &Var) -> Option<(u64, IndexCheck)> {
    var.0.with_inputs(|inputs| {
        let metas: SmallVec<[&Meta; 4]> = inputs.iter().map(Var::meta).collect();
        let check = var.0.op.index_check(&metas)?;
        let mut index = inputs.get(check.input)?.clone();
        loop {
            let whole = |index: &Var| match index.0.kernel() {
                Kernel::View(view) => {
                    let shows_all =
                        matches!(view, View::Identity | View::Reshape(_) | View::Expand(_) | View::Permute(_));
                    shows_all && index.meta().numel() > 0
                }
                _ => false,
            };
            let shown = if whole(&index) { index.0.with_inputs(|inputs| inputs.first().cloned()) } else { None };
            match shown {
                Some(shown) => index = shown,
                // All inputs stand for themselves from here on.
                None => return Some((index.0.id, IndexCheck { input: 0, ..check })),
            }
        }
    })
}

fn as_assign(var: &Var) -> Option<Scope> {
    let op: &dyn Any = &*var.0.op;
    op.downcast_ref::<Assign>().map(|assign| assign.0)
}

/// The nodes without a value that `roots` need, in order.
pub fn ordered(roots: &[Var], unchecked: Unchecked) -> Ordered {
    let mut roots = roots.to_vec();
    loop {
        let nodes = order::reachable(&roots, |var| var.0.has_value());
        let Some(found) = Search::new(&nodes, unchecked) else {
            let items = nodes.into_iter().map(Item::Node).collect();
            return Ordered { items, gate_of: HashMap::new(), gates: Vec::new() };
        };
        let waits = found.waits();
        // What an assignment keeps where its checks fail has to be computed too.
        let old = |i: usize| nodes[i].0.with_inputs(|inputs| inputs[1].clone());
        let kept = (0..nodes.len()).filter(|&i| waits[i].is_some()).map(old);
        let missing: Vec<Var> =
            kept.filter(|old| !old.0.has_value() && !found.position.contains_key(&old.0.id)).collect();
        if missing.is_empty() {
            return found.order(&waits);
        }
        roots.extend(missing);
    }
}

/// A set of checks and leaves, by number.
type Set = SmallVec<[u64; 2]>;

fn add(set: &mut Set, other: &Set) {
    set.iter_mut().zip(other).for_each(|(own, other)| *own |= other);
}

/// Nodes of an expression that is looked at for what it follows.
const FOLLOWED: usize = 64;

fn has(set: &Set, number: usize) -> bool {
    set[number / 64] >> (number % 64) & 1 == 1
}

/// Looks for what assignments wait for.
struct Search<'a> {
    nodes: &'a [Var],
    position: HashMap<u64, usize>,
    /// Positions of the nodes that check indices, without those that check what an earlier one has.
    checks: Vec<usize>,
    /// For each node that checks indices which of them does so first.
    number: HashMap<usize, usize>,
    /// Leaves that may depend on checks that fail, by their ids, with their numbers behind those of the checks.
    leaves: HashMap<u64, usize>,
    /// Leaves whose assignment waited for checks that may fail, with numbers behind those.
    behind: HashMap<u64, usize>,
    /// Whether one number stands for all leaves.
    all: bool,
    /// Words of a set.
    words: usize,
}

impl<'a> Search<'a> {
    /// `None` where nothing waits for anything.
    fn new(nodes: &'a [Var], unchecked: Unchecked) -> Option<Search<'a>> {
        nodes.iter().find(|var| as_assign(var).is_some())?;
        let mut checked = HashMap::new();
        let mut checks: Vec<usize> = Vec::new();
        // The number of each check, or that of the first one that checks the same: an op and its gradient do.
        let mut number: HashMap<usize, usize> = HashMap::new();
        for i in (0..nodes.len()).filter(|&i| nodes[i].0.op.checks_indices()) {
            let known = checks_of(&nodes[i]).map(|check| *checked.entry(check).or_insert(checks.len()));
            number.insert(i, known.unwrap_or(checks.len()));
            if number[&i] == checks.len() {
                checks.push(i);
            }
        }
        let all = matches!(unchecked, Unchecked::All);
        let (mut leaves, mut behind) = (HashMap::new(), HashMap::new());
        for node in nodes {
            node.0.with_needed_inputs(|inputs| {
                for leaf in inputs.iter().filter(|input| input.0.has_value()) {
                    let (depends, waited) = match unchecked {
                        Unchecked::After(resolved) => {
                            let pending_checks = leaf.0.pending_checks();
                            (
                                !pending_checks.after(resolved).is_empty(),
                                !pending_checks.gate().after(resolved).is_empty(),
                            )
                        }
                        Unchecked::All => (true, false),
                        Unchecked::Nothing => (false, false),
                    };
                    let next = leaves.len();
                    if depends {
                        leaves.entry(leaf.0.id).or_insert(if all { 0 } else { next });
                    }
                    let next = behind.len();
                    if waited {
                        behind.entry(leaf.0.id).or_insert(next);
                    }
                }
            });
        }
        if checks.is_empty() && leaves.is_empty() && behind.is_empty() {
            return None;
        }
        let of_leaves = if all { 1 } else { leaves.len() };
        leaves.values_mut().for_each(|number| *number += checks.len());
        behind.values_mut().for_each(|number| *number += checks.len() + of_leaves);
        let position = nodes.iter().enumerate().map(|(i, var)| (var.0.id, i)).collect();
        let words = (checks.len() + of_leaves + behind.len()).div_ceil(64);
        Some(Search { nodes, position, checks, number, leaves, behind, all, words })
    }

    fn empty(&self) -> Set {
        SmallVec::from_elem(0, self.words)
    }

    fn with(&self, mut set: Set, number: usize) -> Set {
        set[number / 64] |= 1 << (number % 64);
        set
    }

    /// Positions of the inputs that are computed in any case.
    fn inputs(&self, i: usize) -> impl Iterator<Item = usize> {
        let found: SmallVec<[usize; 3]> = self.nodes[i].0.with_needed_inputs(|inputs| {
            inputs.iter().filter_map(|input| self.position.get(&input.0.id).copied()).collect()
        });
        found.into_iter()
    }

    /// The position of the old value of an assignment, where it is not computed.
    fn old(&self, i: usize) -> Option<usize> {
        as_assign(&self.nodes[i])?;
        self.nodes[i].0.with_inputs(|inputs| self.position.get(&inputs.get(1)?.0.id).copied())
    }

    /// A number for each node, the same for nodes of one connected graph. Numbers that travel as parameters connect nothing.
    fn connected(&self) -> Vec<usize> {
        fn first(of: &mut [usize], mut i: usize) -> usize {
            while of[i] != i {
                of[i] = of[of[i]];
                i = of[i];
            }
            i
        }
        let mut of: Vec<usize> = (0..self.nodes.len()).collect();
        for i in 0..self.nodes.len() {
            for j in self.inputs(i).filter(|&j| self.nodes[j].scalar_value().is_none()) {
                let (a, b) = (first(&mut of, i), first(&mut of, j));
                of[a.max(b)] = a.min(b);
            }
        }
        (0..of.len()).map(|i| first(&mut of, i)).collect()
    }

    /// Whether each node leads to a node that checks indices.
    fn leads_to_check(&self) -> Vec<bool> {
        let mut leads = vec![false; self.nodes.len()];
        for i in (0..self.nodes.len()).rev() {
            if leads[i] || self.nodes[i].0.op.checks_indices() {
                self.inputs(i).chain(self.old(i)).for_each(|j| leads[j] = true);
            }
        }
        leads
    }

    /// What each assignment waits for; `None` for those that do not, and for other nodes.
    fn waits(&self) -> Vec<Option<Set>> {
        let (graph, leads) = (self.connected(), self.leads_to_check());
        let n = self.nodes.len();
        let mut waits: Vec<Option<Set>> = vec![None; n];
        // What each value depends on.
        let mut depends: Vec<Set> = Vec::with_capacity(n);
        for i in 0..n {
            let mut own = self.empty();
            self.inputs(i).for_each(|j| add(&mut own, &depends[j]));
            self.nodes[i].0.with_needed_inputs(|inputs| {
                for &leaf in inputs.iter().filter_map(|input| self.leaves.get(&input.0.id)) {
                    own = self.with(std::mem::take(&mut own), leaf);
                }
            });
            if let Some(&check) = self.number.get(&i) {
                own = self.with(own, check);
            }
            if let Some(scope) = as_assign(&self.nodes[i]) {
                let mut set = own.clone();
                let waits_for_checks = (0..self.checks.len()).any(|check| has(&set, check));
                if scope == Scope::Step || waits_for_checks {
                    let transaction = self.nodes[i].0.transaction;
                    let together = |&(_, &c): &(usize, &usize)| {
                        graph[c] == graph[i] && self.nodes[c].0.transaction == transaction && (c < i || !leads[i])
                    };
                    for (number, _) in self.checks.iter().enumerate().filter(together) {
                        set = self.with(set, number);
                    }
                }
                if !(0..self.checks.len()).any(|check| has(&set, check))
                    && let Some(followed) = self.followed(i, &waits)
                {
                    add(&mut set, &followed);
                }
                if set.iter().any(|word| *word != 0) {
                    // The value is right whatever the checks find, as far as the old one is.
                    own = self.old(i).map_or_else(|| self.of_old(i), |old| depends[old].clone());
                    waits[i] = Some(set);
                }
            }
            depends.push(own);
        }
        waits
    }

    /// What the assignments have waited for of which alone the new value of an assignment is made; `None` where it is made of anything else.
    fn followed(&self, i: usize, waits: &[Option<Set>]) -> Option<Set> {
        let old = self.nodes[i].0.with_inputs(|inputs| inputs.get(1).map(|old| old.0.id));
        let mut set = self.empty();
        let (mut stack, mut seen) = (self.nodes[i].0.with_needed_inputs(|inputs| inputs.to_vec()), HashSet::new());
        while let Some(var) = stack.pop() {
            if Some(var.0.id) == old || var.scalar_value().is_some() || !seen.insert(var.0.id) {
                continue;
            }
            match (self.position.get(&var.0.id), self.behind.get(&var.0.id)) {
                (Some(&j), _) if waits[j].is_some() => add(&mut set, waits[j].as_ref()?),
                (Some(_), _) if seen.len() <= FOLLOWED => {
                    var.0.with_needed_inputs(|inputs| stack.extend_from_slice(inputs));
                }
                (None, Some(&number)) => set = self.with(set, number),
                _ => return None,
            }
        }
        Some(set)
    }

    /// What the old value of an assignment depends on, where that is a leaf.
    fn of_old(&self, i: usize) -> Set {
        let leaf = self.nodes[i].0.with_inputs(|inputs| self.leaves.get(&inputs.get(1)?.0.id).copied());
        leaf.map_or_else(|| self.empty(), |number| self.with(self.empty(), number))
    }

    /// The order: gates behind their checks, and assignments behind their gates.
    fn order(&self, waits: &[Option<Set>]) -> Ordered {
        let n = self.nodes.len();
        let mut late = vec![false; n];
        for i in 0..n {
            let later = |set: &Set| (0..self.checks.len()).any(|c| has(set, c) && self.checks[c] > i);
            late[i] = waits[i].as_ref().is_some_and(later)
                || self.inputs(i).any(|j| late[j])
                || waits[i].is_some() && self.old(i).is_some_and(|old| late[old]);
        }
        let mut gates: Vec<&Set> = Vec::new();
        let mut number: HashMap<&Set, usize> = HashMap::new();
        // The gates behind each node, those that wait for no node first.
        let (mut first, mut after): (Vec<usize>, Vec<Vec<usize>>) = (Vec::new(), vec![Vec::new(); n]);
        let mut gate_of = HashMap::new();
        for (i, set) in waits.iter().enumerate() {
            let Some(set) = set else { continue };
            let gate = *number.entry(set).or_insert_with(|| {
                let last = (0..self.checks.len()).rev().find(|&check| has(set, check));
                last.map_or(&mut first, |check| &mut after[self.checks[check]]).push(gates.len());
                gates.push(set);
                gates.len() - 1
            });
            gate_of.insert(self.nodes[i].0.id, gate);
        }
        let mut items: Vec<Item> = first.into_iter().map(Item::Gate).collect();
        for i in (0..n).filter(|&i| !late[i]).chain((0..n).filter(|&i| late[i])) {
            items.push(Item::Node(self.nodes[i].clone()));
            items.extend(after[i].drain(..).map(Item::Gate));
        }
        let contents = |set: &&Set| {
            let among = |of: &HashMap<u64, usize>| {
                of.iter().filter(|(_, number)| has(set, **number)).map(|(id, _)| *id).collect::<Vec<_>>()
            };
            let checks = (0..self.checks.len()).filter(|&c| has(set, c)).map(|c| self.nodes[self.checks[c]].0.id);
            Contents {
                checks: checks.collect(),
                leaves: if self.all { Vec::new() } else { among(&self.leaves) },
                all_leaves: self.all && has(set, self.checks.len()),
                behind: among(&self.behind),
            }
        };
        let gates = gates.iter().map(contents).collect();
        Ordered { items, gate_of, gates }
    }
}
