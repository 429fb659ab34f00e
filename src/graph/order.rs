//! Topological order without recursion.

use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use smallvec::SmallVec;

use crate::graph::Var;
use crate::graph::kernel::Kernel;
use crate::layout::View;

/// The nodes that `roots` reach through inputs, in topological order (inputs first), without those for which `stop` holds
/// and what lies only behind them.
pub fn reachable(roots: &[Var], mut stop: impl FnMut(&Var) -> bool) -> Vec<Var> {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut stack: Vec<Var> = Vec::new();
    let mut found: Vec<Var> = Vec::new();
    let mut visit = |var: &Var, stack: &mut Vec<Var>| {
        if seen.insert(var.0.id) && !stop(var) {
            stack.push(var.clone());
        }
    };
    for root in roots {
        visit(root, &mut stack);
    }
    while let Some(var) = stack.pop() {
        var.0.with_needed_inputs(|inputs| inputs.iter().for_each(|input| visit(input, &mut stack)));
        found.push(var);
    }
    // Ids ascend from inputs to consumers.
    found.sort_unstable_by_key(|var| var.0.id);
    found
}

/// The node whose buffer holds the elements of `var` in order: views that change no element's place are looked through, up to a node for
/// which `stop` holds.
pub fn readable(var: &Var, stop: impl Fn(&Var) -> bool) -> Var {
    let mut var = var.clone();
    while !var.0.has_value() && !stop(&var) {
        // The inputs are looked at once: another thread may compute the node meanwhile, which takes them away.
        let inputs = var.0.inputs();
        let metas: Vec<_> = inputs.iter().map(Var::meta).collect();
        let in_place =
            |_: &Var| matches!(var.0.op.kernel(&metas, var.meta()), Kernel::View(View::Identity | View::Reshape(_)));
        let next = inputs.first().filter(|first| in_place(first)).cloned();
        match next {
            Some(next) => var = next,
            None => break,
        }
    }
    var
}

/// Those of `held` that share work with `targets`, directly or through others of them: some op without a value that both need. Views and
/// numbers are no work.
pub fn sharing(targets: &[Var], held: &[Var]) -> Vec<Var> {
    // Sets of roots that share work: the targets are the first, each of `held` starts as one of its own.
    let mut sets: Vec<usize> = (0..=held.len()).collect();
    fn set_of(sets: &mut [usize], mut i: usize) -> usize {
        while sets[i] != i {
            sets[i] = sets[sets[i]];
            i = sets[i];
        }
        i
    }
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let roots = std::iter::once(targets).chain(held.iter().map(std::slice::from_ref));
    for (own, roots) in roots.enumerate() {
        let mut stack: SmallVec<[Var; 16]> = roots.iter().filter(|var| !var.0.has_value()).cloned().collect();
        while let Some(var) = stack.pop() {
            match seen.entry(var.0.id) {
                Entry::Occupied(other) if *other.get() == own => continue,
                Entry::Occupied(other) => match var.0.kernel() {
                    Kernel::Scalar(_) | Kernel::Data => continue,
                    // What it shows may be shared work.
                    Kernel::View(_) => {}
                    _ => {
                        let (a, b) = (set_of(&mut sets, *other.get()), set_of(&mut sets, own));
                        sets[a.max(b)] = a.min(b);
                        continue;
                    }
                },
                Entry::Vacant(place) => {
                    place.insert(own);
                }
            }
            var.0
                .with_needed_inputs(|inputs| stack.extend(inputs.iter().filter(|input| !input.0.has_value()).cloned()));
        }
    }
    (0..held.len()).filter(|&i| set_of(&mut sets, i + 1) == 0).map(|i| held[i].clone()).collect()
}
