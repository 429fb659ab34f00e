//! Gradients that depend on an input in pieces only, as those of `relu`, of `abs` and of the largest element do: through a comparison, a
//! sign or a place. No gradient flows back through those, so a gradient of such a gradient is zero. It is known to be zero, and not
//! missing, because the gradient holds on to what it depends on.

use foldhash::{HashSet, HashSetExt};

use crate::error::Result;
use crate::graph::{Op, Var, Vjp};

/// The first input, which depends on the others in pieces only.
#[derive(Hash)]
struct Flat;

impl Op for Flat {
    fn name(&self) -> &str {
        "flat"
    }

    crate::graph::op::passes_on!();

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let mut gradients = vec![None; cx.inputs.len()];
        gradients[0] = Some(cx.dy.clone());
        Ok(gradients)
    }
}

/// `share`, which the gradient rule of `cx.output` has made of nodes younger than `since`, linked to those inputs of the rule's op on
/// which it depends in pieces only.
pub(super) fn linked(share: Var, since: u64, cx: &Vjp) -> Var {
    let known = |var: &&Var| var.0.tracked && var.0.id != cx.dy.0.id;
    let mut dependencies: Vec<&Var> = Vec::new();
    let depends = reached(&share, since, |_| true);
    // A gradient is linear in the upstream one; without it, it is zero.
    if cx.output.0.op.is_flat() || !depends.contains(&cx.dy.0.id) {
        dependencies.extend(cx.inputs.iter().filter(known));
    } else {
        let candidates = std::iter::once(cx.output).chain(cx.inputs).filter(known);
        let candidates: Vec<&Var> = candidates.filter(|var| depends.contains(&var.0.id)).collect();
        if !candidates.is_empty() {
            let smoothly = reached(&share, since, |var| var.0.tracked);
            dependencies.extend(candidates.into_iter().filter(|var| !smoothly.contains(&var.0.id)));
        }
    }
    if dependencies.is_empty() {
        return share;
    }
    let inputs: Vec<&Var> = std::iter::once(&share).chain(dependencies).collect();
    Var::apply(Flat, &inputs)
}

/// Nodes as old as `since` or older that are reached from `share` through younger ones that `passes` lets through.
fn reached(share: &Var, since: u64, passes: impl Fn(&Var) -> bool) -> HashSet<u64> {
    let (mut old, mut seen, mut stack) = (HashSet::new(), HashSet::new(), vec![share.clone()]);
    while let Some(var) = stack.pop() {
        if var.0.id <= since {
            old.insert(var.0.id);
        } else if seen.insert(var.0.id) && passes(&var) {
            stack.extend(var.0.inputs());
        }
    }
    old
}
