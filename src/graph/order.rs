//! Topological order without recursion.

use foldhash::{HashSet, HashSetExt};

use crate::graph::Var;

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
        var.0.with_inputs(|inputs| inputs.iter().for_each(|input| visit(input, &mut stack)));
        found.push(var);
    }
    // Ids ascend from inputs to consumers.
    found.sort_unstable_by_key(|var| var.0.id);
    found
}
