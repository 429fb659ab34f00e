//! Plans that keep to a budget of memory: values that wait long for their next reader are computed again instead.
//!
//! What a gradient reads is stored from the forward pass to the backward pass, and most memory goes there. Where that is more
//! than the budget allows, a value that is alive when most is, and that no kernel touches at that time, is let go, and a copy
//! of its op (and of those before it whose values are gone by then) is put in front of its next reader. Which value: the one
//! that frees most bytes for the least work. This is repeated until the plan fits or nothing helps any more. The idea is that of
//! checkpointing (Chen et al. 2016, arXiv 1604.06174), choosing by benefit against cost as in Kirisame et al. 2021,
//! arXiv 2006.09616.
//!
//! What is run again are whole kernels, with every value that they leave in memory, and all others keep what they compute. So each
//! value is computed by a kernel of the same arithmetic as without a budget, on the same inputs (random numbers have their counter as
//! an input), and has the same bits. Less would not do: WGSL lets a driver rearrange the arithmetic of one kernel, and lavapipe
//! turns `x * a + x * b` into `x * (a + b)` where both products are computed in it, though not where one is loaded.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::fuse::{Decisions, merge};
use crate::graph::kernel::Kernel;
use crate::ir::{Dag, Merged, Replacement, Source};
use crate::plan::memory::Search;
use crate::plan::{Built, Plan};

/// Plans looked at before giving up.
const TRIES: usize = 512;
/// Candidates that are tried at one peak.
const CANDIDATES: usize = 12;
/// Kernels that are run again for one value.
const COPIES: usize = 32;

/// A plan of `graph` that needs at most `budget` bytes at once, where `first` needs more.
///
/// The peak is lowered little by little, whatever the budget, until the plan fits. So what one budget reaches every larger one
/// does too, and the least that an error tells of is reached indeed.
///
/// # Errors
/// [`Error::OverBudget`] with the least that was reached, where no plan is found.
pub fn fit(graph: &Merged, caps: &Caps, fuse: bool, budget: u64, first: Built) -> Result<Plan> {
    let mut state = Attempt { graph: graph.clone(), decisions: decisions_of(graph, &first), built: first };
    let mut least = u64::MAX;
    let mut tries = 0;
    loop {
        let needed = state.built.plan.workspace + state.built.plan.fixed_bytes(graph);
        if needed <= budget {
            let mut plan = state.built.plan;
            plan.rename(&state.decisions.origin);
            return Ok(plan);
        }
        least = least.min(needed);
        let top = state.built.alive.iter().copied().max().unwrap_or(0);
        match state.improve(caps, fuse, top.saturating_sub((top / 64).max(1)), &mut tries)? {
            Some(next) => state = next,
            None => return Err(Error::OverBudget { budget, least, at: Default::default() }),
        }
    }
}

/// A graph with copies of ops, and its plan.
struct Attempt {
    graph: Merged,
    decisions: Decisions,
    built: Built,
}

/// Numbers for copies.
struct Numbers {
    unused: usize,
    new: HashMap<usize, usize>,
}

impl Numbers {
    fn of_copy(&mut self, number: usize) -> usize {
        let next = self.unused + self.new.len();
        *self.new.entry(number).or_insert(next)
    }
}

/// A value that may be let go.
struct Candidate {
    node: usize,
    bytes: u64,
    /// The position in front of which it is computed again, and the step of its reader.
    at: usize,
    step: usize,
}

/// Which kernel makes each stored value, and the first and last step at which it is alive.
struct Made {
    by: HashMap<usize, usize>,
    lives: HashMap<usize, (usize, usize)>,
}

impl Attempt {
    /// Bytes over the target, added up over all steps.
    fn overshoot(&self, target: u64) -> u64 {
        self.built.alive.iter().map(|&bytes| bytes.saturating_sub(target)).sum()
    }

    /// The next state with less memory over the target.
    fn improve(&self, caps: &Caps, fuse: bool, target: u64, tries: &mut usize) -> Result<Option<Attempt>> {
        let now = self.overshoot(target);
        let mut peaks: Vec<usize> =
            (0..self.built.alive.len()).filter(|&step| self.built.alive[step] > target).collect();
        peaks.sort_by_key(|&step| (std::cmp::Reverse(self.built.alive[step]), step));
        let made = self.made();
        // Where nothing helps at the highest step, something may at another one.
        peaks.dedup_by_key(|step| self.built.alive[*step]);
        for peak in peaks {
            let mut scored: Vec<(u64, Candidate, Vec<usize>)> = self
                .candidates(peak)
                .into_iter()
                .filter_map(|candidate| {
                    let copies = self.copies(&candidate, &made)?;
                    let work: u64 = copies.iter().map(|&i| self.work(i)).sum();
                    // Bytes per unit of work.
                    Some((candidate.bytes.saturating_mul(1 << 20) / work.max(1), candidate, copies))
                })
                .collect();
            scored.sort_by_key(|(score, candidate, _)| (std::cmp::Reverse(*score), candidate.node));
            for (_, candidate, copies) in scored.into_iter().take(CANDIDATES) {
                *tries += 1;
                if *tries > TRIES {
                    return Ok(None);
                }
                let (graph, decisions) = self.with_copies(&candidate, &copies);
                // Where the kernels cannot run in an order that suits, there is no such plan.
                let Ok(built) = Plan::build(&graph, Some(&decisions), caps, fuse, Search::Quick) else { continue };
                let next = Attempt { graph, decisions, built };
                if next.overshoot(target) < now {
                    return Ok(Some(next));
                }
            }
        }
        Ok(None)
    }

    /// The values that are alive at a step that does not touch them.
    fn candidates(&self, peak: usize) -> Vec<Candidate> {
        let waiting = self.built.lives.iter().filter(|(_, life)| life.first < peak && peak < life.last);
        waiting
            .filter_map(|&(node, life)| {
                let readers = self.built.groups.iter().filter(|g| g.first > peak && g.reads.contains(&node));
                let reader = readers.min_by_key(|g| g.first)?;
                Some(Candidate { node, bytes: life.bytes, at: reader.start, step: reader.first })
            })
            .filter(|candidate| candidate.node < candidate.at)
            .collect()
    }

    /// Where the values of this plan come from.
    fn made(&self) -> Made {
        let groups = self.built.groups.iter().enumerate();
        Made {
            by: groups.flat_map(|(g, group)| group.writes.iter().map(move |&i| (i, g))).collect(),
            lives: self.built.lives.iter().map(|(i, life)| (*i, (life.first, life.last))).collect(),
        }
    }

    /// The nodes to copy for a candidate, in order: those of its kernel, and of the kernels before it whose values are gone when
    /// it is read.
    fn copies(&self, candidate: &Candidate, made: &Made) -> Option<Vec<usize>> {
        let there = |i: usize| match made.lives.get(&i) {
            Some(&(first, last)) => first < candidate.step && candidate.step <= last,
            None => self.built.outputs.contains(&i),
        };
        let mut kernels = HashSet::new();
        let mut stack = vec![candidate.node];
        while let Some(i) = stack.pop() {
            let &g = made.by.get(&i)?;
            if kernels.insert(g) {
                stack.extend(self.built.groups[g].reads.iter().copied().filter(|&j| !there(j)));
            }
            if kernels.len() > COPIES {
                return None;
            }
        }
        let mut copies: Vec<usize> = kernels.into_iter().flat_map(|g| self.built.groups[g].members.clone()).collect();
        copies.sort_unstable();
        copies.last().is_none_or(|&last| last < candidate.at).then_some(copies)
    }

    /// A rough measure of what computing a node takes: elements touched, more for those of structured ops.
    fn work(&self, i: usize) -> u64 {
        let elements = |source: Source| self.graph.var(source).meta().numel() as u64;
        let touched: u64 = self.graph.reads(i).into_iter().map(elements).sum::<u64>() + elements(Source::Pending(i));
        match self.graph.kernel_of(i) {
            Kernel::Scalar(_) | Kernel::Data | Kernel::View(_) => 0,
            Kernel::Elementwise(_) => touched / 4,
            Kernel::Reduce(_) => touched,
            Kernel::Routine(_) => touched.saturating_mul(8),
        }
    }

    /// The graph with copies of `copies` in front of position `at`, which everything from there on reads, and what it takes over from this plan.
    fn with_copies(&self, candidate: &Candidate, copies: &[usize]) -> (Merged, Decisions) {
        let (graph, decisions, at) = (&self.graph, &self.decisions, candidate.at);
        let n = graph.nodes.len();
        // Whoever reads the value through views and through ops that are evaluated by their readers reads the copy through
        // copies of those.
        let mut through = vec![false; at];
        // What outlives the run anyway is read where it is, but by the copies.
        let mut fresh = vec![false; at];
        for &i in copies {
            through[i] = true;
            fresh[i] = !self.built.outputs.contains(&i);
        }
        for i in 0..at {
            if !self.built.stored[i] && !graph.nodes[i].0.op.is_source() {
                let sources = graph.reads(i);
                let reads = |of: &[bool]| sources.iter().any(|s| matches!(s, Source::Pending(j) if of[*j]));
                (through[i], fresh[i]) = (reads(&through), reads(&fresh));
            }
        }
        // A kernel that starts before the copies are made goes on with the values there are.
        let early: HashSet<usize> =
            self.built.groups.iter().filter(|g| g.start < at).flat_map(|g| &g.members).copied().collect();
        let numbers = |of: &[Option<usize>]| Numbers {
            unused: 1 + of.iter().flatten().max().copied().unwrap_or(0),
            new: HashMap::new(),
        };
        let (mut kernels, mut rows) = (numbers(&decisions.kernel), numbers(&decisions.row));
        let dag = Dag { leaves: graph.leaves.clone(), ..Dag::default() };
        let (mut out, mut given) = (Merged::without_duplicates(dag), Decisions::default());
        let mut moved: Vec<usize> = Vec::with_capacity(n);
        let mut copies: HashMap<usize, usize> = HashMap::new();
        for i in 0..n {
            if i == at {
                let start = out.nodes.len();
                for j in (0..at).filter(|&j| through[j]) {
                    let position = |k: usize| copies.get(&k).copied().unwrap_or_else(|| moved[k]);
                    let to = adopt(&mut out, graph, j, position);
                    given.adopt(decisions, j);
                    given.copied[to] = Some(start);
                    given.kernel[to] = decisions.kernel[j].map(|kernel| kernels.of_copy(kernel));
                    given.row[to] = decisions.row[j].map(|row| rows.of_copy(row));
                    copies.insert(j, to);
                }
            }
            let copy = |k: usize| copies.get(&k).copied().filter(|_| fresh[k] && !early.contains(&i));
            let to = adopt(&mut out, graph, i, |k| copy(k).unwrap_or_else(|| moved[k]));
            given.adopt(decisions, i);
            moved.push(to);
            given.copied[to] = decisions.copied[i].map(|start| moved[start]);
        }
        let replaces = graph.replaces.iter();
        out.dag.replaces = replaces.map(|r| Replacement { node: moved[r.node], leaf: r.leaf }).collect();
        merge::find_needed(&mut out, Some(&given));
        (out, given)
    }
}

/// The decisions of a plan without copies.
fn decisions_of(graph: &Merged, built: &Built) -> Decisions {
    let n = graph.nodes.len();
    let (mut kernel, mut written) = (vec![None; n], vec![false; n]);
    let (mut row, mut beyond_row) = (vec![None; n], vec![false; n]);
    let mut number = 0;
    for (g, group) in built.groups.iter().enumerate() {
        for members in &group.kernels {
            members.iter().for_each(|&i| kernel[i] = Some(number));
            number += 1;
        }
        group.writes.iter().chain(&group.inner).for_each(|&i| written[i] = true);
        if group.kernels.len() > 1 {
            group.members.iter().for_each(|&i| row[i] = Some(g));
            group.writes.iter().for_each(|&i| beyond_row[i] = true);
        }
    }
    let stored = built.stored.clone();
    Decisions { origin: (0..n).collect(), copied: vec![None; n], stored, kernel, written, row, beyond_row }
}

/// Appends node `i` of another graph, whose positions are mapped by `position`; its new position.
fn adopt(to: &mut Merged, from: &Merged, i: usize, position: impl Fn(usize) -> usize) -> usize {
    let map = |source: &Source| match source {
        Source::Pending(k) => Source::Pending(position(*k)),
        leaf => *leaf,
    };
    to.dag.nodes.push(from.nodes[i].clone());
    to.dag.inputs.push(from.inputs[i].iter().map(map).collect());
    to.dag.keep.push(from.keep[i]);
    to.representative.push(from.representative[i].map(&position));
    to.needed.push(true);
    to.nodes.len() - 1
}
